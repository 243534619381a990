-- Welcomes a new user by e-mail. Gets the run's input and what earlier steps made: email, name, id.
local greetings = {
  ["zh"] = { subject = "欢迎，%s", text = "%s，您好！\n\n您的账号已经开通。" },
  ["en"] = { subject = "Welcome, %s", text = "Hello %s,\n\nyour account is ready." },
}

return function(input)
  local name = input.name
  if name == nil or name == "" then name = input.email end
  local words = greetings[string.sub(input.locale or "en", 1, 2)] or greetings.en
  return apprun.notify.send_email{
    to = { input.email },
    subject = string.format(words.subject, name),
    text = string.format(words.text, name),
    -- the same message when the step is repeated: mail programs show it once
    id = input.id and ("welcome-" .. input.id) or nil,
  }
end
