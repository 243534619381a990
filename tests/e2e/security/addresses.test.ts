// Addresses that lead nowhere: unknown tenants, methods, ids, climbing paths, odd escapes, languages, headers that
// try to end their line. Sent as they are written, because clients tidy up.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import { type Dump, dump, expectLanguage, expectProblem, expectUnchanged, forAll, furnish, type Furnished, isFunction, languages, pathOf, raw, replies, type Route, routesOf, serve, stores, unserve, Wire } from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, tenant: Furnished, routes: Route[], wire: Wire, before: Dump;

  beforeAll(async () => {
    server = await serve(store);
    tenant = await furnish(server, "alpha");
    routes = await routesOf(tenant);
    wire = new Wire(server);
    before = await dump(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
  });

  const auth = () => ({ authorization: `Bearer ${tenant.admin.token}` });
  const body = (route: Route): [string | undefined, Record<string, string>] =>
    route.method === "GET" || route.method === "DELETE" ? [undefined, {}] : ["{}", { "content-type": "application/json" }];

  describe("a tenant that is not there", () => {
    it("is 404 on every route, in both languages", async () => {
      await forAll(
        routes.flatMap((route) => languages.map((language) => ({ route, language }))),
        async ({ route, language }) => {
          const [text, headers] = body(route);
          const path = pathOf(tenant, route).replace("/t/alpha/", "/t/nobody/");
          expectProblem(await wire.send(route.method, path, text, { ...headers, ...auth(), "accept-language": language }), { status: 404, code: "tenant/unknown", language });
        },
        ({ route }) => route.name,
      );
    });

    it("is 404 or 400 whatever its name is", async () => {
      const names = ["..", "%2e%2e", "%2e", "ALPHA", "alpha%00", "alpha%20", "%61lpha", "alpha.", "alpha/", "", "a".repeat(300), "%e5%90%8d", "%c0%af", "alpha;x", "alpha'--", "platform", "platform.db", "..%2fplatform", "alpha%2f..%2fbeta", "~", "*", "%"];
      await forAll(
        names,
        async (name) => expectProblem(await wire.send("GET", `/t/${name}/api/v1/auth/me`, undefined, auth()), { status: [400, 404] }),
        (name) => name,
      );
      await forAll(
        [...names.filter((name) => name !== ""), "alpha, beta", "alpha beta", "../alpha", "\u00e9", "'--"],
        async (name) => expectProblem(await wire.send("GET", "/api/v1/auth/me", undefined, { ...auth(), "x-apprun-tenant": name }), { status: [400, 404] }),
        (name) => `header ${name}`,
      );
    });

    it("must be named once, or the same each time", async () => {
      const at = (path: string, headers: Record<string, string> = {}) => wire.send("GET", path, undefined, { ...auth(), ...headers });
      expectProblem(await at("/api/v1/auth/me"), { status: 404, code: "tenant/missing" });
      expectProblem(await at("/t/alpha/api/v1/auth/me", { "x-apprun-tenant": "beta" }), { status: 400, code: "tenant/conflict" });
      expectProblem(await at("/t/alpha/api/v1/auth/me", { host: "beta.localhost" }), { status: 400, code: "tenant/conflict" });
      expectProblem(await at("/api/v1/auth/me", { host: "beta.localhost", "x-apprun-tenant": "alpha" }), { status: 400, code: "tenant/conflict" });
      expectProblem(await at("/api/v1/auth/me", { host: "alpha.localhost.evil.example" }), { status: 404, code: "tenant/missing" });
      expect((await at("/t/alpha/api/v1/auth/me", { "x-apprun-tenant": "alpha", host: "alpha.localhost" })).status).toBe(200);
      const twice = await raw(server.port, `GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nX-Apprun-Tenant: alpha\r\nX-Apprun-Tenant: beta\r\nAuthorization: Bearer ${tenant.admin.token}\r\nConnection: close\r\n\r\n`);
      expect(replies(twice.text)[0].status).toBe(400);
    });
  });

  describe("a method that a route does not take", () => {
    const all = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "PROPFIND", "get", "Get", "X".repeat(15)];

    it("is 405 with what it takes in Allow", async () => {
      const taken = new Map<string, Set<string>>();
      for (const route of routes) if (!isFunction(route)) taken.set(pathOf(tenant, route), (taken.get(pathOf(tenant, route)) ?? new Set()).add(route.method));
      const work = [...taken].flatMap(([path, methods], i) => all.filter((m) => !methods.has(m)).map((method, k) => ({ path, methods, method, language: languages[(i + k) % 2] })));
      expect(work.length).toBeGreaterThan(300);
      await forAll(
        work,
        async ({ path, methods, method, language }) => {
          const text = await raw(server.port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nAccept-Language: ${language}\r\nAuthorization: Bearer ${tenant.admin.token}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
          const [reply] = replies(text.text);
          const headers = Object.fromEntries(reply.head.split("\r\n").slice(1).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]));
          expectProblem({ status: reply.status, headers, text: reply.body, json: JSON.parse(Buffer.from(reply.body, "latin1").toString("utf8")) }, { status: 405, code: "method-not-allowed", language });
          const allow = new Set(headers.allow.split(", "));
          if (methods.has("GET")) methods.add("HEAD");
          expect(allow).toEqual(methods);
        },
        ({ path, method }) => `${method} ${path}`,
      );
    });

    it("is 405 on the process's own pages and 404 on addresses that are none", async () => {
      for (const path of ["/livez", "/readyz", "/healthz", "/metrics"]) {
        const answer = await wire.send("POST", path, "x");
        expectProblem(answer, { status: 405, code: "method-not-allowed" });
        expect(answer.headers.allow).toBe("GET, HEAD");
      }
      for (const language of languages)
        for (const path of ["/t/alpha/api/v1", "/t/alpha/api/v1/", "/t/alpha/api/v1/nothing", "/t/alpha/api/v2/auth/me", "/t/alpha/api/v1/auth/users/", "/t/alpha/api/v1//auth/me", "/api", "/platform/v1/nothing", "/t/alpha", "/t/", "/favicon.ico", "/.git/config", "/.env", "/wp-login.php", "/t/alpha/api/v1/auth/me/x", "/t/alpha/platform/v1/tenants"])
          expectProblem(await wire.send("POST", path, "{}", { "accept-language": language, "content-type": "application/json" }), { status: 404, language });
    });
  });

  describe("parts of a path", () => {
    const hostile = [
      "..", ".", "%2e%2e", "%2E%2e", ".%2e", "%2e", "..%2f..%2f..%2fetc%2fpasswd", "..%5c..%5cwindows", "%252e%252e%252f", "..;", "%c0%ae%c0%ae%c0%af", "%e0%80%ae", "%uff0e", "%00", "a%00b", "%0d%0aSet-Cookie:%20a=b", "%0a", "%", "%zz", "%2", "%ff", "%ed%a0%80",
      "'%20OR%20'1'='1", "1;drop%20table%20auth_users", "%27%3B--", "%25", "*", "%7B%7D", "$%7B7*7%7D", "%7B%7B7*7%7D%7D", "%3Cscript%3E", "null", "undefined", "-1", "0", "9223372036854775808", "1e400", "00000000-0000-0000-0000-000000000000", "01960000-0000-7000-8000-000000000000", "a".repeat(2000), "%e5%90%8d%e5%ad%97", "%f0%9f%98%80", "%e2%80%ae", "%ef%bb%bf", "constructor", "__proto__", "CON", "a%2fb",
    ];

    // With an empty object as the body nothing is ever asked for completely, so nobody gets a 2xx: but for what takes
    // no input at all, and what takes any text as a name.
    const free = new Set(["PUT /buckets/{bucket}/objects/{key}"]);

    it("lead to 4xx, whatever stands in them", async () => {
      const work = routes
        .filter((route) => !isFunction(route) && !free.has(route.name))
        .flatMap((route, i) =>
          route.params.filter((p) => p.in === "path").flatMap((param) => hostile.map((value, k) => ({ route, part: param.name, value, language: languages[(i + k) % 2] }))),
        );
      expect(work.length).toBeGreaterThan(1500);
      await forAll(
        work,
        async ({ route, part, value, language }) => {
          const [text, headers] = body(route);
          const answer = await wire.send(route.method, pathOf(tenant, route, { [part]: value }), text, { ...headers, ...auth(), "accept-language": language });
          if (answer.status === 200 && route.method === "GET" && answer.json?.items?.length === 0) return; // a list of nothing
          expectProblem(answer, { status: [400, 404, 405, 409, 422], language, echoes: /passwd/.test(value) });
          expect(answer.headers["set-cookie"]).toBeUndefined();
        },
        ({ route, part, value }) => `${route.name}, ${part} ${value.slice(0, 50)}`,
      );
    });

    it("of objects never leave their bucket", async () => {
      const outside = ["../../platform-token", "../x", "a/../../b", "a/..", "./a", "a/./b", "%2e%2e/%2e%2e/platform.db", "%2e%2e%2f%2e%2e%2fplatform.db", "a/%2e%2e/%2e%2e/b", "..%2fx", "a%2f..%2f..%2fb", "a%00b", "%00", "a%0ab", "a%7fb", "a/%c0%ae%c0%ae/b", "%ff", "%ed%a0%80", "a%1bb", "b".repeat(1025), "%e5%90%8d".repeat(1025), "%"];
      for (const key of outside)
        for (const method of ["PUT", "GET", "DELETE"]) {
          const path = `${tenant.prefix}/buckets/files-alpha/objects/${key}`;
          const text = await raw(server.port, `${method} ${path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tenant.admin.token}\r\nContent-Type: text/plain\r\nContent-Length: ${method === "PUT" ? 4 : 0}\r\nConnection: close\r\n\r\n${method === "PUT" ? "evil" : ""}`);
          const [reply] = replies(text.text);
          expect([400, 404, 414, 422], `${method} ${key.slice(0, 60)}: ${text.text.slice(0, 300)}`).toContain(reply.status);
          expect(reply.head).toMatch(/content-type: application\/problem\+json/i);
          expect(reply.body).not.toMatch(/root:|SQLite|ark_/);
        }
    });

    it("of objects are names and nothing else, and come back as they were given", async () => {
      const inside = ["..a", "a..", "...", "a/.../b", "..%5c..%5cwindows%5csystem32", "c:%5cx", "~root", "-rf", "%252e%252e%252fx", "a%2520b", "a+b", "a%20b", "%3Cscript%3E", "';drop table x;--".replace(/ /g, "%20"), "CON", "nul.txt", "a.", "a%3Fb%23c", "%e2%80%ae", "%f0%9f%98%80/%e5%90%8d", "platform.db", ".htaccess", "%24(id)", "%60id%60", "a//b"];
      const given: string[] = [];
      for (const key of inside) {
        const path = `${tenant.prefix}/buckets/files-alpha/objects/odd/${key}`;
        const put = await wire.send("PUT", path, `text of ${key}`, { ...auth(), "content-type": "text/plain" });
        if (put.status >= 400) {
          expectProblem(put, { status: [400, 422] });
          continue;
        }
        given.push(key);
        expect(put.json.key).toBe(`odd/${decodeURIComponent(key)}`);
        const got = await wire.send("GET", path, undefined, auth());
        expect(got.text).toBe(`text of ${key}`);
        expect(got.headers["content-security-policy"]).toContain("sandbox"); // a browser runs nothing in it
        expect((await wire.send("DELETE", path, undefined, auth())).status).toBe(204);
      }
      expect(given.length).toBeGreaterThan(15);
    });
  });

  describe("the language of a refusal", () => {
    it("follows Accept-Language in all its forms", async () => {
      const rows: [string | undefined, "en" | "zh-CN"][] = [
        [undefined, "en"], ["", "en"], ["*", "en"], ["zh-CN", "zh-CN"], ["zh", "zh-CN"], ["ZH-cn", "zh-CN"], ["zh-TW", "zh-CN"], ["zh-Hans-CN", "zh-CN"], ["en", "en"], ["en-GB", "en"], ["fr", "en"], ["fr, zh;q=0.5", "zh-CN"], ["zh;q=0.5, en", "en"], ["en;q=0.1, zh;q=0.9", "zh-CN"], ["zh;q=0", "en"], ["zh;q=2", "en"], ["zh;q=-1", "en"], ["zh;q=x", "en"], [";;;,,,", "en"], ["zh-CN,".repeat(1000), "zh-CN"], ["x".repeat(4000), "en"], ["\u00e4\u00f6", "en"], ["zh\tCN", "en"], ["../../zh-CN", "en"], ["%00", "en"],
      ];
      for (const [header, language] of rows) {
        const answer = await wire.send("GET", "/t/alpha/api/v1/auth/users", undefined, header === undefined ? {} : { "accept-language": header });
        expect([401], `${header}`).toContain(answer.status);
        expectLanguage(answer, language);
      }
    });
  });

  describe("headers that try to end their line", () => {
    it("come back as nothing but what they are, or not at all", async () => {
      // bare CR, LF and NUL in a value are refused before anything is read (see http.test.ts); escapes are text
      const odd = "%0d%0aSet-Cookie: evil=1";
      const answer = await wire.send("GET", "/t/alpha/api/v1/auth/users", undefined, { "x-request-id": odd, traceparent: odd, origin: odd, "accept-language": odd, "x-forwarded-for": odd, "if-none-match": odd, prefer: odd, "idempotency-key": odd });
      expectProblem(answer, { status: 401 });
      expect(answer.headers["set-cookie"]).toBeUndefined();
      expect(answer.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
      for (const id of ["a b", "<script>", "é", "x".repeat(129), "a\tb", '"', "${jndi:ldap://x}"])
        expect((await wire.send("GET", "/livez", undefined, { "x-request-id": Buffer.from(id).toString("latin1") })).headers["x-request-id"] ?? "").not.toContain(id);
    });

    it("cannot be made by a function's reply", async () => {
      const sources: [string, string][] = [
        ["a value with a line end", `{ status = 200, headers = { ["x-a"] = "b\\r\\nSet-Cookie: evil=1" }, body = "x" }`],
        ["a name with a line end", `{ status = 200, headers = { ["x-a\\r\\nSet-Cookie: evil"] = "1" }, body = "x" }`],
        ["a type with a line end", `{ status = 200, headers = { ["content-type"] = "text/plain\\r\\nSet-Cookie: evil=1" }, body = "x" }`],
        ["a length of its own", `{ status = 200, headers = { ["content-length"] = "0" }, body = "HTTP/1.1 200 OK\\r\\n\\r\\n" }`],
        ["a coding of its own", `{ status = 200, headers = { ["Transfer-Encoding"] = "chunked" }, body = "0\\r\\n\\r\\n" }`],
        ["a cookie", `{ status = 200, headers = { ["set-cookie"] = "evil=1" }, body = "x" }`],
        ["a connection header", `{ status = 200, headers = { connection = "upgrade", upgrade = "h2c" }, body = "x" }`],
        ["a status below 200", `{ status = 101, body = "x" }`],
        ["a status above 599", `{ status = 999, body = "x" }`],
        ["a status of the wrong type", `{ status = 2e300, body = "x" }`],
        ["a thousand headers", `(function() local h = {} for i = 1, 1000 do h["x-" .. i] = "1" end return { status = 200, headers = h } end)()`],
      ];
      for (const [name, reply] of sources) {
        expect((await tenant.admin.put("/functions/forger", { source: `return function() return ${reply} end`, allow: "-" })).status).toBeLessThan(300);
        const answer = await wire.send("GET", `${tenant.prefix}/fn/forger`);
        expect(answer.headers["set-cookie"], name).toBeUndefined();
        if (name === "a status of the wrong type") expect(answer.text).toMatch(/"status":2e\+?300/); // an object like any other
        else if (answer.json?.code !== "function/reply") expect.fail(`${name}: ${answer.text}`);
        else expectProblem(answer, { status: 500, code: "function/reply" });
      }
      // a status that has no body, with one: what follows on the connection must still be understood
      for (const status of [204, 205, 304]) {
        await tenant.admin.put("/functions/forger", { source: `return function() return { status = ${status}, body = "HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\nevil" } end`, allow: "-" });
        const one = `GET ${tenant.prefix}/fn/forger HTTP/1.1\r\nHost: x\r\n\r\n`;
        const text = (await raw(server.port, `${one}GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)).text;
        const heads = text.split("\r\n\r\n").map((part) => part.split("\r\n")[0]);
        expect(heads[0]).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
        expect(heads[1], text).toMatch(/^HTTP\/1\.1 200 /);
        expect(text).not.toContain("evil");
      }
      expect((await tenant.admin.delete("/functions/forger")).status).toBe(204);
    });
  });

  it("changed nothing with all of this", async () => {
    // the function that was deployed and deleted left its events, and nothing else
    const after = await dump(server);
    for (const table of Object.keys(before).filter((t) => /bus_/.test(t))) delete before[table];
    for (const table of Object.keys(after).filter((t) => /bus_/.test(t))) delete after[table];
    expectUnchanged(before, after);
  });
});
