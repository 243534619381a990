-- Runs in stock Lua; `ours(name, ...)` calls the sandbox's function of that name. Both must agree on
-- results, and on whether there is an error, for random arguments.
local seed, rounds = ...
math.randomseed(seed)
local random = math.random

local function pick(t) return t[random(#t)] end

local function text(alphabet, max)
	local t = {}
	for i = 1, random(0, max) do t[i] = pick(alphabet) end
	return table.concat(t)
end

local function same(a, b)
	if type(a) ~= type(b) then return false end
	if type(a) == "table" then
		for k, v in pairs(a) do if not same(v, b[k]) then return false end end
		for k in pairs(b) do if a[k] == nil then return false end end
		return true
	end
	if a ~= a then return b ~= b end
	return a == b and math.type(a) == math.type(b)
end

local function show(v)
	if type(v) == "table" then
		local t = {}
		for k, x in pairs(v) do t[#t + 1] = tostring(k) .. "=" .. show(x) end
		return "{" .. table.concat(t, ", ") .. "}"
	end
	return type(v) == "string" and string.format("%q", v) or tostring(v)
end

local function copy(v)
	if type(v) ~= "table" then return v end
	local t = {}
	for k, x in pairs(v) do t[k] = copy(x) end
	return t
end

local function compare(name, stock, ...)
	local given = table.pack(...)
	for i = 1, given.n do given[i] = copy(given[i]) end -- some change what they get
	local want = table.pack(pcall(stock, table.unpack(given, 1, given.n)))
	local got = table.pack(ours(name, ...))
	if want[1] ~= got[1] or (want[1] and not same(want, got)) then
		error(string.format("%s%s\n  stock: %s\n  ours:  %s", name, show{...}, show(want), show(got)), 0)
	end
	return want[1]
end

local subject = { "a", "b", "a", "b", "c", " ", "1", "2", "(", ")", "[", "]", "%", "-", "^", "$", ".", "\0", "\n", "A", "Z", "é" }
local pattern = { "a", "b", "c", ".", "%a", "%d", "%w", "%s", "%S", "%p", "%x", "%l", "%u", "%c", "%g", "%%", "*", "+", "-", "?",
	"(", ")", "()", "(a)", "(.-)", "(a*)", "[ab]", "[^a]", "[a-c]", "[%d%s]", "[]]", "[^]]", "[a-]", "[", "]", "^", "$", "%1", "%2",
	"%b()", "%bab", "%f[a]", "%f[%w]", "%f", "%b", "%", "\0", "é" }
local replacement = { "x", "%1", "%0", "%2", "%%", "[", "%", "%a", "" }

local function patterns()
	local s, p = text(subject, 14), text(pattern, 6)
	if random(8) == 1 then p = "^" .. p end
	if random(8) == 1 then p = p .. "$" end
	local init = random(3) == 1 and random(-16, 16) or nil
	compare("find", string.find, s, p, init, random(4) == 1 or nil)
	compare("match", string.match, s, p, init)
	compare("gsub", string.gsub, s, p, text(replacement, 3), random(4) == 1 and random(-1, 4) or nil)
	compare("gsub", string.gsub, s, p, { a = "1", b = 2, c = false, [""] = "e", [1] = "one" })
	-- gmatch, as a list
	compare("gmatch_list", function(...)
		local t = {}
		for a, b, c in string.gmatch(...) do t[#t + 1] = { a, b, c } end
		return t
	end, s, p, init)
end

local numbers = { 0, 1, -1, 2, 3, 10, 255, -255, 65, 2^31, 2^53, -2^53, 1e15, 1e100, -1e-5, 0.1, 1/3, 123456789, 3.0,
	math.maxinteger, math.mininteger, math.huge, -math.huge, 0/0, 5e-324 }

local function formats()
	local n = pick(numbers)
	local flags, width, precision = text({ "-", "+", " ", "#", "0" }, 2), random(3) == 1 and random(0, 120) or "", ""
	if random(3) == 1 then precision = "." .. (random(4) == 1 and "" or random(0, 110)) end
	local spec = "%" .. flags .. width .. precision
	-- Stock Lua refuses some flags for some letters, which is a matter of taste: only what it takes is compared.
	for _, letter in ipairs{ "d", "i", "x", "X", "o", "e", "E", "f", "g", "G", "a", "A", "c", "u" } do
		local ok = pcall(string.format, spec .. letter, n)
		if ok then compare("format", string.format, "<" .. spec .. letter .. ">", n) end
	end
	local s = text(subject, 10)
	if pcall(string.format, spec .. "s", s) then compare("format", string.format, spec .. "s|%s", s, n) end
	compare("format", string.format, "%q %q", s, n)
	compare("format", string.format, "%s %s %s", true, nil, s)
	compare("format", string.format, "%d", s)
	compare("format", string.format, "%5.2f%%", n)
	compare("format", string.format, s .. "%")
end

local function strings()
	local s = text(subject, 20)
	compare("byte", string.byte, s, random(-25, 25), random(3) > 1 and random(-25, 25) or nil)
	compare("rep", string.rep, s, random(-1, 5), random(2) == 1 and text(subject, 3) or nil)
	compare("upper", string.upper, s)
	compare("lower", string.lower, s)
	compare("reverse", string.reverse, s)
	compare("tostring", tostring, pick(numbers))
	local digits = text({ "0", "1", "7", "9", "a", "F", "z", "-", " ", "." , "e", "x", "+", "\t" }, 8)
	compare("tonumber", tonumber, digits)
	compare("tonumber", tonumber, digits, random(2, 36))
	compare("tonumber", tonumber, digits, pick{ 0, 1, 37, 10.0, 10.5 })
	compare("tonumber", tonumber, pick(numbers))
end

local function list()
	local t = {}
	for i = 1, random(0, 12) do t[i] = random(3) == 1 and text(subject, 3) or random(-5, 5) end
	return t
end

local function tables()
	local t = list()
	local n = #t
	-- what changes a table returns it
	local function keep(f) return function(a, ...) local r = table.pack(f(a, ...)) return a, r end end
	compare("insert", keep(table.insert), t, text(subject, 3))
	compare("insert", keep(table.insert), list(), random(-1, n + 2), "x")
	compare("insert", keep(table.insert), list())
	compare("remove", keep(table.remove), list())
	compare("remove", keep(table.remove), list(), random(-1, n + 2))
	compare("concat", table.concat, list(), pick{ "", ",", "ab" }, random(3) == 1 and random(0, 3) or nil, random(3) == 1 and random(0, 8) or nil)
	compare("unpack", table.unpack, list(), random(3) == 1 and random(-2, 4) or nil, random(3) == 1 and random(-2, 14) or nil)
	compare("move", table.move, list(), random(-1, 5), random(-1, 9), random(-1, 9))
	compare("move", table.move, list(), random(1, 3), random(1, 9), random(1, 9), list())
	compare("pack", table.pack, table.unpack(list()))
	local sorted = {}
	for i = 1, random(0, 300) do sorted[i] = random(0, 50) end
	compare("sort", keep(table.sort), sorted)
	compare("sort", keep(table.sort), list())
end

local function dates()
	local t = random(-62167219200, 253402300799)
	if random(2) == 1 then t = random(0, 4102444800) end
	for _, c in ipairs{ "a", "A", "b", "B", "c", "d", "D", "e", "F", "H", "I", "j", "m", "M", "p", "S", "T", "u", "w", "x", "X", "y", "%" } do
		compare("date", os.date, "!%" .. c, t)
	end
	compare("date", os.date, "!*t", t)
	compare("date", os.date, "!%Y-%m-%dT%H:%M:%S", t)
	compare("time", os.time, { year = random(1900, 2100), month = random(-12, 24), day = random(-40, 60), hour = random(-30, 30),
		min = random(-70, 70), sec = random(-70, 70) })
end

for _ = 1, rounds do
	patterns()
	formats()
	strings()
	tables()
	dates()
end
