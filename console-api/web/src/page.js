// The tenant comes from the address (/t/NAME), else from the last visit, else it is "demo".
// Signing in puts the access token into Swagger UI, so that "Try it out" works at once.
(() => {
  "use strict";

  const words = {
    en: {
      tenant: "Tenant", open: "Open", email: "E-mail", password: "Password", signIn: "Sign in",
      unknown: "There is no tenant of this name.", offline: "apprun does not answer.",
      signedIn: "Signed in as ", wrong: "Wrong e-mail address or password.",
    },
    zh: {
      tenant: "租户", open: "打开", email: "邮箱", password: "密码", signIn: "登录",
      unknown: "没有这个租户。", offline: "apprun 没有响应。",
      signedIn: "已登录：", wrong: "邮箱或密码不正确。",
    },
  };
  const language = (navigator.language || "en").startsWith("zh") ? "zh" : "en";
  const text = words[language];
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text[node.dataset.text];

  const status = document.getElementById("status");
  const say = (message, bad) => {
    status.textContent = message;
    status.className = bad ? "bad" : "";
  };

  const named = location.pathname.match(/^\/t\/([a-z0-9][a-z0-9-]*)\/?$/);
  const remembered = (() => { try { return localStorage.getItem("apprun.tenant"); } catch { return null; } })();
  const tenant = named ? named[1] : remembered || "demo";
  const base = `/t/${tenant}/api/v1`;
  document.getElementById("tenant").value = tenant;

  document.getElementById("tenant-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = document.getElementById("tenant").value.trim();
    try { localStorage.setItem("apprun.tenant", name); } catch { /* private window */ }
    location.assign(`/t/${encodeURIComponent(name)}`);
  });

  let viewer = null;
  const show = (document_) => {
    viewer = SwaggerUIBundle({
      spec: document_,
      dom_id: "#reference",
      deepLinking: true,
      docExpansion: "none",
      filter: true,
      validatorUrl: null,
      persistAuthorization: false,
      requestInterceptor: (request) => {
        request.headers["Accept-Language"] = navigator.language || "en";
        return request;
      },
    });
  };

  const load = async (token) => {
    let reply;
    try {
      reply = await fetch(`${base}/openapi.json`, {
        headers: { "accept-language": language, ...(token ? { authorization: `Bearer ${token}` } : {}) },
      });
    } catch {
      return say(text.offline, true);
    }
    if (!reply.ok) {
      const problem = await reply.json().catch(() => ({}));
      const empty = document.createElement("p");
      empty.className = "empty";
      empty.textContent = reply.status === 404 ? text.unknown : problem.title || String(reply.status);
      document.getElementById("reference").replaceChildren(empty);
      return;
    }
    show(await reply.json());
  };

  document.getElementById("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const email = document.getElementById("email").value;
    const password = document.getElementById("password");
    let reply;
    try {
      reply = await fetch(`${base}/auth/login`, {
        method: "POST",
        headers: { "content-type": "application/json", "accept-language": language },
        body: JSON.stringify({ email, password: password.value }),
      });
    } catch {
      return say(text.offline, true);
    }
    const answer = await reply.json().catch(() => ({}));
    password.value = "";
    if (!reply.ok) return say(reply.status === 401 ? text.wrong : answer.title, true);
    say(text.signedIn + answer.user.email);
    if (viewer) viewer.preauthorizeApiKey("bearer", answer.accessToken);
  });

  load();
})();
