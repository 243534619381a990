// /openapi.json tells the truth: it is OpenAPI 3.1, and what each operation answers has the status and the shape
// that it names there. Shapes are held closed: a member that the document does not know is a fault as well.
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newTenant, type Tenant } from "./harness/client.js";
import { Server } from "./harness/server.js";

let server: Server, tenant: Tenant, doc: any;
let faults: string[] = [];
const seen = new Set<string>();
const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats.default(ajv);

// Closed: no members but the named ones. A record's shape is the collection's, not known to the general route.
function closed(schema: any, open: boolean): any {
  if (Array.isArray(schema)) return schema.map((s) => closed(s, open));
  if (schema === null || typeof schema !== "object") return schema;
  const ret: any = {};
  for (const key in schema) ret[key] = key === "$ref" ? `doc${schema[key]}` : closed(schema[key], open);
  if (ret.properties && ret.type && ret.additionalProperties === undefined && !open) ret.additionalProperties = false;
  return ret;
}

async function call(method: string, path: string, names: Record<string, string | number> = {}, body?: unknown, query = "") {
  const operation = doc.paths[path]?.[method.toLowerCase()];
  const address = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(names[name] ?? ""));
  const reply = await tenant.admin.call(method, address + query, body);
  const where = `${method} ${path} ${reply.status}`;
  const fault = (text: string) => void faults.push(`${where}: ${text}`);

  if (!operation) fault("not in the document");
  else {
    seen.add(operation.operationId);
    const answer = operation.responses[reply.status] ?? (reply.status >= 400 ? operation.responses.default : undefined);
    const content = answer?.$ref ? doc.components.responses.Problem.content : answer?.content;
    const media = content?.[(reply.headers.get("content-type") ?? "").split(";")[0]] ?? content?.["*/*"];

    if (!answer) fault("no such status in the document");
    else if (!content) reply.text !== "" && fault("a body, and none in the document");
    else if (!media) fault(`no ${reply.headers.get("content-type")} in the document`);
    else if (reply.body !== undefined) {
      const open = /\{collection\}\/records/.test(path);
      const validate = ajv.compile(closed(media.schema, open));
      if (!validate(reply.body)) for (const e of validate.errors!) fault(`${e.instancePath} ${e.message} ${JSON.stringify(e.params)}`);
    }
  }
  return reply;
}

beforeAll(async () => {
  server = await Server.start();
  tenant = await newTenant(server, "document");
  const fields = [
    { name: "name", type: "text", required: true, min: 2, max: 80, pattern: "[^<>]*" },
    { name: "email", type: "email", unique: true },
    { name: "age", type: "int", min: 0 },
    { name: "score", type: "float", default: 0.5 },
    { name: "vip", type: "bool" },
    { name: "born", type: "date" },
    { name: "seen", type: "datetime" },
    { name: "extra", type: "json" },
    { name: "level", type: "select", values: ["a", "b"] },
    { name: "tags", type: "select", values: ["a", "b"], multiple: true },
    { name: "boss", type: "relation", collection: "people" },
  ];
  await tenant.admin.post("/collections", { name: "people", fields });
  doc = (await tenant.admin.get("/openapi.json")).body;
  ajv.addSchema(doc, "doc");
});
afterAll(async () => {
  await server?.stop();
});

const truth = (name: string, run: () => Promise<void>) =>
  it(name, async () => {
    faults = [];
    await run();
    expect(faults).toEqual([]);
  });

it("is OpenAPI 3.1, for who is signed in and for who is not", async () => {
  for (const client of [tenant.admin, tenant.anyone]) {
    const text = (await client.get("/openapi.json")).body;
    expect(await new Validator().validate(text)).toMatchObject({ valid: true });
    for (const [path, methods] of Object.entries<any>(text.paths))
      for (const [method, operation] of Object.entries<any>(methods))
        expect(operation.responses.default, `${method} ${path}`).toBeDefined();
  }
});

truth("of auth", async () => {
  await call("GET", "/openapi.json");
  const password = "correct horse 1";
  await call("POST", "/auth/signup", {}, { email: "a@b.cn", password });
  await call("POST", "/auth/signup", {}, { email: "nobody", password: "x", more: 1 });
  const login = await call("POST", "/auth/login", {}, { email: "a@b.cn", password });
  await call("POST", "/auth/refresh", {}, { refreshToken: login.body.refreshToken });
  await call("GET", "/auth/me");
  await call("PATCH", "/auth/me", {}, { name: "Admin" });
  await call("GET", "/auth/sessions");
  const user = await call("POST", "/auth/users", {}, { email: "b@b.cn" });
  await call("GET", "/auth/users", {}, undefined, "?count=exact&limit=1");
  await call("GET", "/auth/users/{id}", user.body);
  await call("PATCH", "/auth/users/{id}", user.body, { locale: "zh-CN", data: { a: 1 } });
  await call("DELETE", "/auth/users/{id}", user.body);
  await call("POST", "/auth/permissions", {}, { name: "customer:read" });
  await call("GET", "/auth/permissions");
  await call("POST", "/auth/roles", {}, { name: "sales", permissions: ["customer:read"] });
  await call("GET", "/auth/roles");
  await call("GET", "/auth/roles/{name}", { name: "sales" });
  await call("PATCH", "/auth/roles/{name}", { name: "sales" }, { description: "they sell" });
  await call("DELETE", "/auth/roles/{name}", { name: "sales" });
  await call("DELETE", "/auth/permissions/{name}", { name: "customer:read" });
  const key = await call("POST", "/auth/keys", {}, { name: "k", permissions: ["events.read"] });
  await call("GET", "/auth/keys");
  await call("DELETE", "/auth/keys/{id}", key.body);
});

truth("of collections and records", async () => {
  await call("GET", "/collections");
  await call("POST", "/collections", {}, { name: "things", fields: [{ name: "a", type: "text" }] });
  await call("POST", "/collections", {}, { name: "things", fields: [{ name: "a", type: "text" }] });
  await call("GET", "/collections/{collection}", { collection: "people" });
  await call("PATCH", "/collections/{collection}", { collection: "things" }, { rules: { list: "" } });
  await call("DELETE", "/collections/{collection}", { collection: "things" });
  await call("POST", "/validate", {}, { collection: "people", data: { name: "x" } });
  await call("POST", "/validate", {}, { collection: "people", data: { name: "xy" } });
  for (const path of ["/collections/{collection}/records", "/collections/people/records"]) {
    const names = { collection: "people" };
    const boss = await call("POST", path, names, { name: "王伟" });
    const full = { name: "Li", email: "li@b.cn", age: 3, vip: true, born: "2000-02-29", seen: "2026-01-01T10:00:00+08:00" };
    const made = await call("POST", path, names, { ...full, extra: [{ a: null }], level: "a", tags: ["a", "b"], boss: boss.body.id });
    await call("POST", path, names, { name: "Li", email: "li@b.cn" });
    await call("POST", path, names, { name: "L", age: 1.5, boss: "x", nix: 1 });
    await call("GET", path, names, undefined, "?count=exact&sort=-name&limit=1");
    await call("GET", path, names, undefined, "?filter=nix%20%3D%201");
    const one = { ...names, id: made.body.id };
    await call("GET", `${path}/{id}`, one);
    await call("PUT", `${path}/{id}`, one, { name: "Put" });
    await call("PATCH", `${path}/{id}`, one, { age: 4, extra: { a: 1 } });
    await call("DELETE", `${path}/{id}`, one);
    await call("DELETE", `${path}/{id}`, one);
  }
});

truth("of buckets and objects", async () => {
  const names = { bucket: "files", key: "a.txt" };
  await call("POST", "/buckets", {}, { bucket: "files" });
  await call("GET", "/buckets");
  await call("GET", "/buckets/{bucket}", names);
  await call("PATCH", "/buckets/{bucket}", names, { maxSize: 5, rules: { read: "" } });
  await call("PUT", "/buckets/{bucket}/objects/{key}", names, "12345");
  await call("PUT", "/buckets/{bucket}/objects/{key}", names, "54321");
  await call("PUT", "/buckets/{bucket}/objects/{key}", names, "too large");
  await call("GET", "/buckets/{bucket}/objects", names);
  await call("GET", "/buckets/{bucket}/objects/{key}", names);
  await call("DELETE", "/buckets/{bucket}/objects/{key}", names);
  await call("DELETE", "/buckets/{bucket}", names);
  await call("POST", "/storage/sweep");
});

truth("of functions and events", async () => {
  const source = "return function(i) if i == 1 then error('one') end print('hi') return i end";
  const name = { name: "echo", function: "echo", number: 1 };
  await call("PUT", "/functions/{name}", name, { source, limits: { cpuMs: 50 } });
  await call("PUT", "/functions/{name}", name, { source: source + " " });
  await call("PUT", "/functions/{name}", name, { source: "return +" });
  await call("GET", "/functions");
  await call("GET", "/functions/{name}", name);
  await call("GET", "/functions/{name}/versions", name);
  await call("GET", "/functions/{name}/versions/{number}", name);
  for (const input of [{ a: 1 }, [1, "x"], "text", 1, true, null]) await call("POST", "/functions/{function}/execute", name, { input });
  await call("GET", "/fn/{name}/{path}", { ...name, path: "x" });
  await call("PUT", "/subscriptions/{name}", { name: "s" }, { topics: "bad.*", kind: "function", target: "echo", maxAttempts: 1 });
  await call("POST", "/events", {}, { event: "good.day" });
  await call("GET", "/events");
  await call("GET", "/subscriptions");
  await tenant.admin.put("/functions/fails", { source: "return function() error('no') end", events: ["wrong"] });
  await tenant.admin.put("/subscriptions/f", { topics: "wrong", kind: "function", target: "fails", maxAttempts: 1 });
  await call("POST", "/events", {}, { event: "wrong", data: { n: 1 } });
  let letters: any[] = [];
  await expect.poll(async () => (letters = (await call("GET", "/deadletters")).body.items).length, { timeout: 120_000 }).toBe(1);
  await call("POST", "/deadletters/{id}/redrive", letters[0]);
  await expect.poll(async () => (letters = (await call("GET", "/deadletters")).body.items).length, { timeout: 120_000 }).toBe(1);
  await call("DELETE", "/deadletters/{id}", letters[0]);
  await call("DELETE", "/subscriptions/{name}", { name: "s" });
  await expect.poll(async () => (await call("GET", "/functions/{name}/runs", name)).body.items.length, { timeout: 120_000 }).toBe(7);
  for (const run of (await call("GET", "/functions/{name}/runs", name)).body.items)
    await call("GET", "/functions/{name}/runs/{id}", { ...name, id: run.id });
  await call("DELETE", "/functions/{name}", name);
});

truth("of workflows", async () => {
  const step = (event: string) => ({ action: "events.publish", input: { event } });
  const name = { name: "w", workflow: "w", number: 1 };
  const steps = { a: step("a.a"), b: { ...step("b.b"), depends_on: "a", when: "input.n > 1" } };
  await call("PUT", "/workflows/{name}", name, { workflow: "w", steps });
  await call("PUT", "/workflows/{name}", name, { workflow: "w", steps, output: "${steps.a.output}" });
  await call("POST", "/workflows/{name}", { name: "v" }, { workflow: "v", steps: { a: { action: "events.publish", input: { event: "${input.x}" } } } });
  await call("PUT", "/workflows/{name}", { name: "x" }, { workflow: "x", steps: { a: { action: "no.such" } } });
  await call("GET", "/workflows");
  await call("GET", "/workflows/{name}", name);
  await call("GET", "/workflows/{name}/versions", name);
  await call("GET", "/workflows/{name}/versions/{number}", name);
  const runs = [
    await call("POST", "/workflows/{workflow}/runs", name, { input: { n: 1 } }),
    await call("POST", "/workflows/{workflow}/runs", { workflow: "v" }, {}),
  ];
  for (const { body } of runs) {
    await call("GET", "/runs/{id}/steps", body);
    await expect.poll(async () => (await call("GET", "/runs/{id}", body)).body.status, { timeout: 120_000 }).not.toBe("running");
    await call("GET", "/runs/{id}/steps", body);
    await call("POST", "/runs/{id}/cancel", body);
  }
  await call("GET", "/runs");
  await call("DELETE", "/workflows/{name}", name);
});

truth("of languages and mail", async () => {
  await call("PUT", "/i18n/locales", {}, { locales: [{ locale: "en", default: true }, { locale: "zh-TW", fallback: "en" }] });
  await call("GET", "/i18n/locales");
  const name = { locale: "en", key: "k" };
  await call("PUT", "/i18n/messages/{locale}", name, { messages: { a: "{n, plural, other {#}}" } });
  await call("PUT", "/i18n/messages/{locale}/{key}", name, { text: "q" });
  await call("PUT", "/i18n/messages/{locale}/{key}", name, { text: "{" });
  await call("GET", "/i18n/messages/{locale}", name);
  await call("GET", "/i18n/messages/{locale}/{key}", name);
  await call("GET", "/i18n/translate", {}, undefined, "?key=k");
  await call("DELETE", "/i18n/messages/{locale}/{key}", name);
  await call("POST", "/i18n/format", {}, { kind: "number", value: 1, locale: "en" });
  await call("GET", "/notify/smtp");
  await call("PUT", "/notify/smtp", {}, { host: "mail.example.com", from: "a@b.cn" });
  await call("GET", "/notify/smtp");
  await call("DELETE", "/notify/smtp");
  await call("POST", "/notify/email", {}, { to: ["a@b.cn"], subject: "x", text: "y" });
});

truth("of all of it", async () => {
  await call("POST", "/auth/password", {}, { oldPassword: "no", newPassword: "correct horse 2" });
  await call("DELETE", "/auth/sessions/{id}", { id: "01a21414-45cf-7471-8edc-3c2a6f8f619b" });
  await call("POST", "/auth/logout");
  const all = Object.values<any>(doc.paths).flatMap((methods) => Object.values<any>(methods).map((o) => o.operationId));
  expect(all.filter((id) => !seen.has(id) && !/^functions\.call_(?!GET)/.test(id))).toEqual([]);
});
