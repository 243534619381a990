// Two tenants with the same names for everything, each with a word of its own in all that it keeps. Whatever one
// asks, on whatever way, the other's word is in no answer, and nothing of the other's changes.
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import { type Answer, dump, expectProblem, expectUnchanged, forAll, furnish, type Furnished, isFunction, pathOf, raw, type Route, routesOf, serve, stores, unserve, Wire, writes } from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, alpha: Furnished, beta: Furnished, routes: Route[], wire: Wire;

  beforeAll(async () => {
    server = await serve(store);
    alpha = await furnish(server, "alpha");
    beta = await furnish(server, "beta");
    for (const tenant of [alpha, beta]) {
      expect((await tenant.admin.post("/buckets", { bucket: "shared" })).status).toBe(201);
      expect((await tenant.admin.call("PUT", "/buckets/shared/objects/same.txt", tenant.canary, { "content-type": "text/plain" })).status).toBeLessThan(300);
      expect((await tenant.admin.post("/auth/users", { email: "same@example.com", name: tenant.canary, data: { canary: tenant.canary } })).status).toBe(201);
    }
    routes = await routesOf(alpha);
    wire = new Wire(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
  });

  function expectSilent(answer: Answer | string, where: string): void {
    const text = typeof answer === "string" ? answer : answer.text + JSON.stringify(answer.headers);
    if (text.includes(beta.canary)) expect.fail(`${where} tells: ${text.slice(Math.max(0, text.indexOf(beta.canary) - 200), text.indexOf(beta.canary) + 100)}`);
  }

  const callers = () => ({ administrator: alpha.admin.token, member: alpha.member.token, key: alpha.keyText, anyone: undefined, operator: server.platformToken, "the other's administrator": beta.admin.token, "the other's key": beta.keyText });
  const bearer = (token?: string): Record<string, string> => (token === undefined ? {} : { authorization: `Bearer ${token}` });

  describe("the other tenant's word", () => {
    it("is there to be found: its own administrator sees it on many routes", async () => {
      let seen = 0;
      for (const route of routes.filter((r) => r.method === "GET")) if ((await wire.send("GET", pathOf(beta, route), undefined, bearer(beta.admin.token))).text.includes(beta.canary)) seen++;
      expect(seen).toBeGreaterThan(20);
    });

    it("is in no answer of any route, for any caller", async () => {
      const work = routes
        .filter((route) => route.method === "GET")
        .flatMap((route) => Object.entries(callers()).map(([name, token]) => ({ route, name, token })));
      await forAll(
        work,
        async ({ route, name, token }) => expectSilent(await wire.send("GET", pathOf(alpha, route), undefined, bearer(token)), `${route.name} to ${name}`),
        ({ route, name }) => `${route.name} to ${name}`,
      );
    });

    it("is not found by the other tenant's ids", async () => {
      const before = await dump(server, ["bus_event"]);
      const work = routes
        .filter((route) => !isFunction(route) && route.params.some((p) => p.in === "path" && p.name === "id"))
        .flatMap((route) => [alpha.admin.token, alpha.keyText].map((token) => ({ route, token })));
      expect(work.length).toBeGreaterThan(20);
      await forAll(
        work,
        async ({ route, token }) => {
          // beta's ids under alpha's prefix
          const path = pathOf(beta, route).replace("/t/beta/", "/t/alpha/");
          const answer = await wire.send(route.method, path, writes(route) && route.method !== "DELETE" ? "{}" : undefined, { ...bearer(token), ...(writes(route) && route.method !== "DELETE" ? { "content-type": "application/json" } : {}) });
          expectSilent(answer, route.name);
          // deadletters count by themselves in each tenant; there are none
          expectProblem(answer, { status: [403, 404, 422] });
        },
        ({ route }) => route.name,
      );
      expectUnchanged(before, await dump(server, ["bus_event"]));
    });

    it("is in no error: the same address, the same names, values that the other has", async () => {
      for (const [method, path, body] of [
        ["POST", "/auth/signup", { email: `${beta.canary}@example.com`.replace(beta.canary, "same"), password: "pw-x-x-x-1" }],
        ["POST", "/auth/login", { email: "member@beta.example", password: "pw-member-beta-1" }],
        ["POST", "/auth/login", { email: beta.email, password: beta.password }],
        ["POST", "/auth/users", { email: "same@example.com" }],
        ["POST", "/buckets", { bucket: "shared" }],
        ["POST", "/collections", { name: "notes", fields: [] }],
        ["GET", `/auth/roles/reader-beta`, undefined],
        ["GET", `/buckets/files-beta/objects`, undefined],
      ] as const)
        for (const token of [alpha.admin.token, undefined]) {
          const answer = await wire.send(method, alpha.prefix + path, body === undefined ? undefined : JSON.stringify(body), { ...bearer(token), ...(body === undefined ? {} : { "content-type": "application/json" }) });
          expectSilent(answer, path);
          expectProblem(answer, { status: [401, 404, 409] });
        }
    });

    it("is not replayed under the other's Idempotency-Key", async () => {
      const key = { "idempotency-key": "the-same-key", "content-type": "application/json" };
      const body = JSON.stringify({ event: "keyed", data: { to: "both" } });
      const send = (tenant: Furnished) => wire.send("POST", "/api/v1/events", body, { ...bearer(tenant.admin.token), ...key, "x-apprun-tenant": tenant.name });
      const theirs = await send(beta);
      const ours = await send(alpha);
      expect(theirs.status).toBe(201);
      expect(ours.status).toBe(201);
      expect(ours.json.eventId).not.toBe(theirs.json.eventId);
      expect(ours.headers["idempotency-replayed"]).toBeUndefined();
      // and another caller of the same tenant does not get it either
      const stranger = await wire.send("POST", "/api/v1/events", body, { ...key, "x-apprun-tenant": "alpha" });
      expectProblem(stranger, { status: 401 });
    });

    it("is not in what was cached for the other: tags and conditions", async () => {
      const theirs = await wire.send("GET", `${beta.prefix}/buckets/shared/objects/same.txt`, undefined, bearer(beta.admin.token));
      expect(theirs.text).toBe(beta.canary);
      for (const headers of [{}, { "if-none-match": theirs.headers.etag }, { "if-none-match": '"x"' }, { range: "bytes=0-4" }, { "if-range": theirs.headers.etag, range: "bytes=0-4" }]) {
        const ours = await wire.send("GET", `${alpha.prefix}/buckets/shared/objects/same.txt`, undefined, { ...bearer(alpha.admin.token), ...headers } as any);
        expect([200, 206]).toContain(ours.status);
        expectSilent(ours, "object");
        expect(alpha.canary.startsWith(ours.text)).toBe(true);
      }
      expectProblem(await wire.send("DELETE", `${alpha.prefix}/buckets/shared/objects/same.txt`, undefined, { ...bearer(alpha.admin.token), "if-match": theirs.headers.etag }), { status: 412 });
    });

    it("is not within a function's reach", async () => {
      const source = `
        local tries = {
          function() return apprun.auth.list_users{ limit = 500 } end,
          function() return apprun.auth.get_user{ id = "${beta.ids.user}" } end,
          function() return apprun.auth.get_user{ id = "${beta.ids.user}", tenant = "beta" } end,
          function() return apprun.auth.list_users{ tenant = "beta" } end,
          function() return apprun.data.list_records{ collection = "notes", limit = 500 } end,
          function() return apprun.data.get_record{ collection = "notes", id = "${beta.ids.record}" } end,
          function() return apprun.data.list_records{ collection = "beta.notes" } end,
          function() return apprun.data.list_records{ collection = "../beta/notes" } end,
          function() return apprun.storage.get_object{ bucket = "shared", key = "same.txt" } end,
          function() return apprun.storage.get_object{ bucket = "files-beta", key = "a/${beta.canary}.txt" } end,
          function() return apprun.storage.get_object{ bucket = "shared", key = "../../beta/shared/same.txt" } end,
          function() return apprun.functions.list{ } end,
          function() return apprun.functions.get{ name = "greet" } end,
          function() return apprun.functions.execute{ ["function"] = "greet" } end,
          function() return apprun.functions.list_runs{ name = "greet" } end,
          function() return apprun.workflows.list_runs{ } end,
          function() return apprun.workflows.get_run{ id = "${beta.ids.run}" } end,
          function() return apprun.events.list{ limit = 500 } end,
          function() return apprun.i18n.get_message{ locale = "en", key = "greeting" } end,
          function() return apprun.notify.get_smtp{ } end,
          function() return apprun.auth.list_keys{ } end,
          function() return apprun.platform.list_tenants{ } end,
          function() return apprun["platform.list_tenants"]{ } end,
          function() return require("greet") end,
          function() local all = {} for k, v in pairs(_G) do all[#all + 1] = tostring(k) .. "=" .. tostring(v) end return all end,
        }
        return function(input, ctx)
          local out = {}
          for i = 1, #tries do
            local ok, value = pcall(tries[i])
            out[i] = { ok = ok, value = type(value) == "function" and "a function" or value }
          end
          return { ctx = ctx, out = out }
        end`;
      const put = await alpha.admin.put("/functions/spy", { source, allow: "-", permissions: ["*"] });
      expect(put.status, put.text).toBeLessThan(300);
      for (const path of ["/fn/spy", "/fn/spy/../../../beta", "/functions/spy/execute"]) {
        const answer = await wire.send("POST", alpha.prefix + path, "{}", { "content-type": "application/json", "x-tenant": "beta", ...bearer(alpha.admin.token) });
        // the spy's own source names the ids and one key; what it was told must not
        expectSilent(answer.text.replaceAll(`a/${beta.canary}.txt`, ""), path);
      }
      const told = await wire.send("POST", `${alpha.prefix}/functions/spy/execute`, "{}", { "content-type": "application/json" });
      if (told.status !== 200) expect.fail(told.text);
      const ok = told.json.out.filter((o: any) => o.ok).length;
      expect(ok, told.text.slice(0, 2000)).toBeGreaterThan(8); // it really reached its own tenant
      expect(told.text).toContain(alpha.canary);
      expect(told.text).not.toMatch(/"password":"\$2|ark_[0-9a-f-]{36}_|BEGIN (EC )?PRIVATE KEY|secret-canary/);
      await sleep(400);
      for (const path of ["/functions/spy/runs", "/functions/greet/runs"]) expectSilent((await wire.send("GET", alpha.prefix + path, undefined, bearer(alpha.admin.token))).text.replaceAll(`a/${beta.canary}.txt`, ""), path);
      expect((await alpha.admin.delete("/functions/spy")).status).toBe(204);
    });

    it("is not within a workflow's reach", async () => {
      const flow = {
        steps: {
          users: { action: "auth.list_users" },
          other: { action: "auth.get_user", input: { id: beta.ids.user }, on_error: "continue" },
          object: { action: "storage.get_object", input: { bucket: "shared", key: "same.txt" }, on_error: "continue" },
          record: { action: "data.get_record", input: { collection: "notes", id: beta.ids.record }, on_error: "continue" },
          notes: { action: "data.list_records", input: { collection: "notes" } },
        },
        output: { users: "${steps.users.output}", other: "${steps.other.output}", object: "${steps.object.output}", record: "${steps.record.output}", notes: "${steps.notes.output}" },
      };
      const put = await alpha.admin.call("PUT", "/workflows/spy", JSON.stringify(flow), { "content-type": "application/json" });
      expect(put.status, put.text).toBeLessThan(300);
      const started = await alpha.admin.post("/workflows/spy/runs", {});
      expect(started.status, started.text).toBe(201);
      let run: any;
      for (let i = 0; i < 1200; i++) {
        run = await alpha.admin.get(`/runs/${started.body.id}`);
        if (run.body.status !== "running") break;
        await sleep(100);
      }
      const steps = await alpha.admin.get(`/runs/${started.body.id}/steps`);
      expect(run.body.status, steps.text.slice(0, 2000)).toBe("succeeded");
      expectSilent(run.text + steps.text, "the run");
      expect(run.text).toContain(alpha.canary);
    });

    it("is on none of the process's own pages", async () => {
      for (const path of ["/", "/livez", "/readyz", "/healthz", "/metrics", "/t/alpha/", "/t/alpha/.well-known/jwks.json", "/t/alpha/.well-known/openid-configuration", "/platform/v1/tenants", "/console", "/docs", "/openapi.json", "/run.json", "/platform-token", "/data/", "/tenants/beta.db"])
        for (const headers of [{}, { "x-forwarded-for": "198.51.100.7" }, bearer(alpha.admin.token), { accept: "text/html" }]) {
          const answer = await wire.send("GET", path, undefined, headers as any);
          expectSilent(answer, path);
          expect(answer.text).not.toContain(server.platformToken);
          if (path === "/metrics" && "x-forwarded-for" in headers) expectProblem(answer, { status: 401, code: "unauthorized" });
        }
    });

    it("does not come through confused hosts and headers", async () => {
      for (const lines of [
        ["GET /t/alpha/api/v1/auth/users HTTP/1.1", "Host: beta.localhost"],
        ["GET /api/v1/auth/users HTTP/1.1", "Host: alpha.localhost", "X-Apprun-Tenant: beta"],
        ["GET http://beta.localhost/t/alpha/api/v1/auth/users HTTP/1.1", "Host: beta.localhost"],
        ["GET http://beta.localhost/api/v1/auth/users HTTP/1.1", "Host: alpha.localhost"],
        ["GET /t/alpha/../beta/api/v1/auth/users HTTP/1.1", "Host: x"],
        ["GET /t/alpha/api/v1/../../../beta/api/v1/auth/users HTTP/1.1", "Host: x"],
        ["GET /t/alpha%2f..%2fbeta/api/v1/auth/users HTTP/1.1", "Host: x"],
        ["GET /t//beta/api/v1/auth/users HTTP/1.1", "Host: x"],
        ["GET //t/beta/api/v1/auth/users HTTP/1.1", "Host: x"],
        ["GET /T/beta/api/v1/auth/users HTTP/1.1", "Host: x"],
        ["GET /t/alpha/api/v1/auth/users HTTP/1.1", "Host: x", "X-Apprun-Tenant: beta"],
        ["GET /t/alpha/api/v1/auth/users HTTP/1.1", "Host: x", "X-Original-URL: /t/beta/api/v1/auth/users", "X-Rewrite-URL: /t/beta/api/v1/auth/users"],
      ]) {
        const text = (await raw(server.port, [...lines, `Authorization: Bearer ${alpha.admin.token}`, "Connection: close", "", ""].join("\r\n"))).text;
        expectSilent(text, lines.join(" | "));
        if (!/X-Original/.test(lines.join())) expect(text, lines.join(" | ")).toMatch(/^HTTP\/1\.1 4\d\d /);
      }
    });
  });

  describe("the log", () => {
    it("holds no password, token or key", async () => {
      await alpha.anyone.post("/auth/login", { email: alpha.email, password: `${alpha.password}wrong` });
      await wire.send("GET", `${alpha.prefix}/auth/users?filter=${encodeURIComponent("email = 'private@example.com'")}`, undefined, bearer(alpha.admin.token));
      await sleep(200);
      const log = server.log;
      expect(log).toContain('"message":"request"');
      for (const tenant of [alpha, beta])
        for (const secret of [tenant.password, tenant.admin.token!, tenant.admin.token!.split(".")[2], tenant.keyText, tenant.keyText.split("_").pop()!, tenant.member.token, `pw-${tenant.canary}-1`, `secret-${tenant.canary}`, server.platformToken, "private@example.com", "PRIVATE KEY", "$2b$", "$2y$"])
          expect(log.includes(secret), secret).toBe(false);
    });
  });
});
