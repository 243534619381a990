// What the tests of bad input share: a tenant with something of everything, its routes as its own OpenAPI tells
// them, requests that are sent as they are written, what a refusal must look like, and what the databases hold.
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";
import { expect } from "vitest";
import { newTenant, type Tenant } from "../harness/client.js";
import { Postgres } from "../harness/postgres.js";
import { Server } from "../harness/server.js";

// ---- the server, on either store ----

export const stores = ["sqlite", "postgres"] as const;
const databases = new WeakMap<Server, Postgres>();

export async function serve(store: (typeof stores)[number] = "sqlite", args: string[] = []): Promise<Server> {
  const postgres = store === "postgres" ? Postgres.start() : undefined;
  try {
    const server = await Server.start({ args: [...args, ...(postgres?.args ?? [])] });
    if (postgres) databases.set(server, postgres);
    return server;
  } catch (error) {
    postgres?.stop();
    throw error;
  }
}

export async function unserve(server?: Server): Promise<void> {
  if (server === undefined) return;
  try {
    await server.stop();
  } finally {
    databases.get(server)?.stop();
  }
}

// ---- requests, as they are written: no normalising of paths, no second thoughts about headers ----

export interface Answer {
  status: number;
  headers: Record<string, string>;
  text: string;
  json: any;
}

export type Send = (method: string, path: string, body?: string | Buffer, headers?: Record<string, string>) => Promise<Answer>;

export class Wire {
  private readonly pool: Pool;
  constructor(server: Server, connections = 8) {
    this.pool = new Pool(server.url, { connections, pipelining: 1, headersTimeout: 60_000, bodyTimeout: 60_000 });
  }

  async send(method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> {
    const reply = await this.pool.request({ method: method as any, path, body, headers });
    const text = Buffer.from(await reply.body.arrayBuffer()).toString("utf8");
    const flat = Object.fromEntries(Object.entries(reply.headers).map(([k, v]) => [k, Array.isArray(v) ? v.join(", ") : String(v)]));
    let json: any;
    if (/json/.test(flat["content-type"] ?? "") && text !== "") json = JSON.parse(text);
    return { status: reply.statusCode, headers: flat, text, json };
  }

  close(): Promise<void> {
    return this.pool.destroy();
  }
}

// Runs work over many things, a few at a time; the first failure says which thing it was.
export async function forAll<T>(things: T[], work: (thing: T) => Promise<void>, name: (thing: T) => string, width = 8): Promise<void> {
  const left = things.slice();
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let thing = left.shift(); thing !== undefined; thing = left.shift()) {
        try {
          await work(thing);
        } catch (error) {
          left.length = 0;
          if (error instanceof Error) error.message = `${name(thing)}: ${error.message}`;
          throw error;
        }
      }
    }),
  );
}

// ---- raw sockets ----

export interface Raw {
  text: string; // all that came
  closed: boolean; // by the other side, within the time
  ms: number;
}

// Writes bytes and reads until the server closes or the time is over.
export function raw(port: number, bytes: string | Buffer, options: { ms?: number; until?: RegExp } = {}): Promise<Raw> {
  return new Promise((done) => {
    const start = Date.now();
    const parts: Buffer[] = [];
    const socket = connect(port, "127.0.0.1");
    const finish = (closed: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      done({ text: Buffer.concat(parts).toString("latin1"), closed, ms: Date.now() - start });
    };
    const timer = setTimeout(() => finish(false), options.ms ?? 30_000);
    socket.on("data", (part) => {
      parts.push(part);
      if (options.until?.test(Buffer.concat(parts).toString("latin1"))) finish(false);
    });
    socket.on("error", () => {});
    socket.on("close", () => finish(true));
    socket.write(bytes);
  });
}

export function opened(port: number): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect(port, "127.0.0.1", () => done(socket));
    socket.once("error", fail);
  });
}

// Cuts what came on a socket into HTTP/1.1 replies, strictly: anything between them is a failure.
export function replies(text: string): { status: number; head: string; body: string }[] {
  const list: { status: number; head: string; body: string }[] = [];
  let left = text;
  while (left.length > 0) {
    const end = left.indexOf("\r\n\r\n");
    const status = /^HTTP\/1\.1 (\d{3}) /.exec(left);
    if (end < 0 || status === null) throw new Error(`not a reply: ${JSON.stringify(left.slice(0, 200))}`);
    const head = left.slice(0, end);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(head)?.[1] ?? 0);
    const body = left.slice(end + 4, end + 4 + length);
    list.push({ status: Number(status[1]), head, body });
    left = left.slice(end + 4 + length);
  }
  return list;
}

// ---- what a refusal looks like ----

export type Language = "en" | "zh-CN";
export const languages: Language[] = ["en", "zh-CN"];

const members = ["type", "title", "status", "code", "detail", "instance", "params", "fields"];
// what would tell of the inside: paths, source files, SQL, addresses, markup
const leaks =
  /\/(work|tmp|home|root|usr|proc|etc|var)\/|runtime\/|modules\/|\b\w+\.[ch]\b[:"]|sqlite|libpq|SELECT |INSERT |UPDATE |DELETE FROM|constraint failed|no such (table|column)|syntax error near|stack traceback|0x[0-9a-f]{6,}|<html|<!doctype|\bnull pointer|Assertion/i;

export interface Wanted {
  status: number | number[];
  code?: string | RegExp;
  language?: Language;
  echoes?: boolean; // the request holds what looks like a leak: do not look for any
}

export function expectProblem(answer: Answer, wanted: Wanted): void {
  const statuses = [wanted.status].flat();
  if (!statuses.includes(answer.status)) expect.fail(`${answer.status} instead of ${statuses}: ${answer.text.slice(0, 400)}`);
  expect(answer.headers["content-type"]).toBe("application/problem+json");
  const problem = answer.json;
  expect(Object.keys(problem).filter((k) => !members.includes(k))).toEqual([]);
  expect(problem.status).toBe(answer.status);
  expect(problem.code).toMatch(/^[a-z0-9/-]+$/);
  expect(problem.type).toBe(`https://apprun.dev/problems/${problem.code}`);
  expect(problem.instance).toBe(`/requests/${answer.headers["x-request-id"]}`);
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.headers["x-content-type-options"]).toBe("nosniff");
  if (wanted.code instanceof RegExp) expect(problem.code).toMatch(wanted.code);
  else if (wanted.code !== undefined) expect(problem.code).toBe(wanted.code);
  expectLanguage(answer, wanted.language ?? "en");
  if (!wanted.echoes && leaks.test(answer.text)) expect.fail(`tells of the inside: ${leaks.exec(answer.text)![0]} in ${answer.text}`);
}

const han = /\p{Script=Han}/u;

// Two English words in a row in a Chinese sentence are words of the source; what the request itself said, and what
// Lua says of its source, stay as they are.
const given = ["expression", "name", "where", "value", "key", "path", "step", "action", "permission", "collection", "field", "header", "topic", "values"];
function halfEnglish(text: string, problem: any): boolean {
  if (/^(sandbox\/(syntax|error)|function\/(?!limit|reply))/.test(problem.code)) return false;
  let left = text;
  for (const name of given) if (problem.params?.[name]) left = left.split(problem.params[name]).join("…");
  for (const field of Object.values<any>(problem.fields ?? {})) for (const value of Object.values<string>(field.params ?? {})) left = left.split(value).join("…");
  return /[A-Za-z][A-Za-z'-]* [A-Za-z][A-Za-z'-]*/.test(left);
}

export function expectLanguage(answer: Answer, language: Language): void {
  const problem = answer.json;
  expect(answer.headers["content-language"]).toBe(language);
  expect(problem.title.length).toBeGreaterThan(1);
  expect(problem.title).not.toBe(problem.code); // a slug without a message
  for (const text of [problem.title, problem.detail ?? "", ...Object.values<any>(problem.fields ?? {}).map((f) => f.message)])
    expect(text.replace("/t/{name}", "")).not.toMatch(/\{\w+\}/); // a parameter that nobody gave
  if (han.test(problem.title) !== (language === "zh-CN")) expect.fail(`not in ${language}: ${answer.text}`);
  if (language === "zh-CN")
    for (const text of [problem.title, problem.detail ?? "", ...Object.values<any>(problem.fields ?? {}).map((f) => f.message)])
      if (halfEnglish(text, problem)) expect.fail(`half in English: ${text}`);
  for (const [name, field] of Object.entries<any>(problem.fields ?? {})) {
    if (!field.message) expect.fail(`no message for ${name}: ${field.code}`);
    if (han.test(field.message) !== (language === "zh-CN")) expect.fail(`not in ${language}: ${name} ${field.message}`);
  }
}

// ---- a tenant with something of everything ----

export interface Furnished extends Tenant {
  prefix: string; // "/t/alpha/api/v1"
  canary: string; // stands in every text that the tenant keeps
  ids: { user: string; role: string; key: string; record: string; run: string; functionRun: string; session: string };
  keyText: string;
  member: { id: string; token: string }; // a user without any role
}

function must<T extends { status: number; text: string }>(reply: T, ...statuses: number[]): T {
  if (!statuses.includes(reply.status)) throw new Error(`${reply.status}: ${reply.text}`);
  return reply;
}

export async function furnish(server: Server, name: string): Promise<Furnished> {
  const tenant = await newTenant(server, name);
  const { admin } = tenant;
  const canary = `canary${name}${Math.random().toString(36).slice(2, 10)}`;
  const role = `reader-${name}`;

  must(await admin.post("/auth/roles", { name: role, description: canary, permissions: ["notes:read"] }), 201);
  const user = must(
    await admin.post("/auth/users", { email: `${canary}@example.com`, name: canary, password: `pw-${canary}-1`, roles: [role], data: { note: canary } }),
    201,
  );
  const key = must(await admin.post("/auth/keys", { name: canary, permissions: ["data.*"] }), 201);
  must(await admin.post("/auth/signup", { email: `member@${name}.example`, password: `pw-member-${name}-1` }), 201);
  const member = must(await admin.as(undefined).post("/auth/login", { email: `member@${name}.example`, password: `pw-member-${name}-1` }), 200);

  must(
    await admin.post("/collections", {
      name: "notes",
      fields: [
        { name: "title", type: "text", required: true, min: 1, max: 5000 },
        { name: "body", type: "text" },
        { name: "n", type: "int", min: -10, max: 1000, indexed: true },
        { name: "score", type: "float" },
        { name: "done", type: "bool" },
        { name: "day", type: "date" },
        { name: "at", type: "datetime" },
        { name: "extra", type: "json" },
        { name: "kind", type: "select", values: ["a", "b", canary] },
        { name: "mail", type: "email", unique: true },
        { name: "parent", type: "relation", collection: "notes" },
      ],
      rules: { list: "title != null", view: "", create: "@auth.id != null", update: null, delete: null },
    }),
    201,
  );
  let record = "";
  for (let i = 0; i < 3; i++) {
    const made = must(
      await admin.post("/collections/notes/records", { title: `${canary} ${i}`, body: canary, n: i, score: i / 2, extra: { deep: [canary] }, kind: canary }),
      201,
    );
    record = made.body.id;
  }
  must(await admin.post("/buckets", { bucket: `files-${name}`, rules: { read: "", list: "" } }), 201);
  must(await admin.call("PUT", `/buckets/files-${name}/objects/a/${canary}.txt`, canary, { "content-type": "text/plain" }), 200, 201);
  const source = `return function(input) log.info("${canary}") return { said = "${canary}" } end`;
  must(await admin.put("/functions/greet", { source, allow: "+", description: canary }), 200, 201);
  const called = must(await admin.post("/functions/greet/execute", { input: { canary } }), 200);
  const flow = { description: canary, steps: { only: { service: "events", action: "publish", input: { event: "flow_done", data: { canary } } } } };
  must(await admin.call("PUT", "/workflows/steady", JSON.stringify(flow), { "content-type": "application/json" }), 200, 201);
  const run = must(await admin.post("/workflows/steady/runs", { input: { canary } }), 201);
  must(await admin.post("/events", { event: "seeded", key: canary, data: { canary } }), 201);
  must(await admin.put("/subscriptions/listener", { topics: "nothing.at.all", kind: "function", target: "greet" }), 200, 201);
  must(await admin.put("/i18n/locales", { locales: [{ locale: "en", default: true }, { locale: "zh-CN" }] }), 200);
  must(await admin.put("/i18n/messages/en/greeting", { text: `Hello ${canary}` }), 200, 201);
  must(await admin.put("/notify/smtp", { host: `${canary}.example`, port: 25, tls: "none", user: canary, password: `secret-${canary}`, from: `post@${name}.example` }), 200);
  const sessions = must(await admin.get("/auth/sessions"), 200);
  return {
    ...tenant,
    prefix: `/t/${name}/api/v1`,
    canary,
    keyText: keyOf(key.body),
    member: { id: member.body.user.id, token: member.body.accessToken },
    ids: {
      user: user.body.id,
      role,
      key: key.body.id,
      record,
      run: run.body.id,
      functionRun: called.headers.get("x-apprun-run") ?? "",
      session: sessions.body.items[0].id,
    },
  };
}

function keyOf(body: any): string {
  const text = Object.values(body).find((v) => typeof v === "string" && v.startsWith("ark_"));
  if (typeof text !== "string") throw new Error(`no key in ${JSON.stringify(body)}`);
  return text;
}

// ---- the tenant's routes, as its own OpenAPI tells them ----

export interface Route {
  method: string;
  template: string; // "/auth/users/{id}"
  action: string;
  allow: string; // "-" anyone, "+" signed in, or a permission; "" where the document does not say
  params: { name: string; in: string; schema: any }[];
  body?: any; // the schema of the JSON body, references resolved
  item?: any; // the schema of one item of a list
  raw: boolean; // the body is bytes
  name: string;
}

export function writes(route: Route): boolean {
  return route.method !== "GET";
}

// Functions answer what they like: their routes are tested on their own.
export function isFunction(route: Route): boolean {
  return route.template.startsWith("/fn/");
}

function resolved(document: any, node: any, depth = 0): any {
  if (node === null || typeof node !== "object" || depth > 20) return node;
  if (Array.isArray(node)) return node.map((n) => resolved(document, n, depth + 1));
  if (typeof node.$ref === "string")
    return resolved(document, node.$ref.slice(2).split("/").reduce((at: any, part: string) => at?.[part], document), depth + 1);
  return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, resolved(document, v, depth + 1)]));
}

export async function routesOf(tenant: Furnished): Promise<Route[]> {
  const document = must(await tenant.admin.get("/openapi.json"), 200).body;
  const routes: Route[] = [];
  for (const [template, operations] of Object.entries<any>(document.paths))
    for (const [method, operation] of Object.entries<any>(operations)) {
      if (!/^(get|post|put|patch|delete)$/.test(method)) continue;
      const content = operation.requestBody?.content ?? {};
      routes.push({
        method: method.toUpperCase(),
        template,
        action: operation["x-apprun-action"] ?? operation.operationId,
        allow: operation["x-apprun-allow"] ?? "",
        params: resolved(document, operation.parameters ?? []).filter((p: any) => p.schema && p.in !== "header"),
        body: resolved(document, content["application/json"]?.schema),
        item: resolved(document, Object.values<any>(operation.responses ?? {})[0]?.content?.["application/json"]?.schema?.properties?.items?.items),
        raw: "application/octet-stream" in content,
        name: `${method.toUpperCase()} ${template}`,
      });
    }
  return routes;
}

// What really is there under a part of a path.
function real(tenant: Furnished, template: string, part: string): string {
  const { ids } = tenant;
  const rows: [RegExp, string, string][] = [
    [/^\/auth\/users/, "id", ids.user],
    [/^\/auth\/keys/, "id", ids.key],
    [/^\/auth\/sessions/, "id", ids.session],
    [/^\/auth\/roles/, "name", ids.role],
    [/^\/collections/, "collection", "notes"],
    [/^\/collections/, "id", ids.record],
    [/^\/buckets/, "bucket", `files-${tenant.name}`],
    [/^\/buckets/, "key", `a/${tenant.canary}.txt`],
    [/^\/functions/, "id", ids.functionRun],
    [/^\/(functions|fn)/, "(name|function)", "greet"],
    [/^\/(functions|workflows)/, "number", "1"],
    [/^\/workflows/, "(name|workflow)", "steady"],
    [/^\/runs/, "id", ids.run],
    [/^\/subscriptions/, "name", "listener"],
    [/^\/deadletters/, "id", "1"],
    [/^\/i18n/, "locale", "en"],
    [/^\/i18n/, "key", "greeting"],
  ];
  return rows.find(([path, name]) => path.test(template) && new RegExp(`^${name}$`).test(part))?.[2] ?? "something";
}

// The path of a route with what is there in its parts; `other` replaces one part by raw text.
export function pathOf(tenant: Furnished, route: Route, other: Record<string, string> = {}): string {
  return (
    tenant.prefix +
    route.template.replace(/\{(\w+)\}/g, (_, part: string) =>
      part in other ? other[part] : real(tenant, route.template, part).split("/").map(encodeURIComponent).join("/"),
    )
  );
}

// ---- what is kept ----

// Rows that calls may leave without having changed anything: stored replies, sign-ins, lists of calls, how far the bus is.
const footprints = ["action_reply", "auth_sessions", "auth_refresh_tokens", "function_runs", "bus_state"];

export type Dump = Record<string, string[]>;

function dumpFile(path: string): Dump {
  const folder = mkdtempSync(join(tmpdir(), "apprun-dump-"));
  try {
    for (const ending of ["", "-wal"]) if (existsSync(path + ending)) copyFileSync(path + ending, join(folder, `copy.db${ending}`));
    const text = execFileSync("sqlite3", [join(folder, "copy.db"), ".dump"], { maxBuffer: 1 << 28 }).toString("utf8");
    const tables: Dump = {};
    for (const statement of text.split(/\n(?=INSERT INTO|CREATE |COMMIT|DELETE FROM)/)) {
      const table = /^INSERT INTO "?([A-Za-z0-9_]+)"?/.exec(statement)?.[1];
      if (table !== undefined) (tables[table] ??= []).push(statement);
    }
    return tables;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function dumpPostgres(postgres: Postgres): Dump {
  const text = execFileSync("pg_dump", ["--data-only", "--inserts", postgres.url], { maxBuffer: 1 << 28, stdio: ["ignore", "pipe", "ignore"] }).toString("utf8");
  const tables: Dump = {};
  for (const statement of text.split(/\n(?=INSERT INTO |--|SELECT pg_catalog)/)) {
    const table = /^INSERT INTO "?([^".\s]+)"?\."?([A-Za-z0-9_]+)"?/.exec(statement);
    if (table !== null) (tables[`${table[1]}:${table[2]}`] ??= []).push(statement.trim());
  }
  for (const rows of Object.values(tables)) rows.sort(); // an update moves a row
  return tables;
}

function files(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((f) => f.isFile())
    .map((f) => join(f.parentPath, f.name))
    .map((f) => `${f.slice(folder.length)} ${statSync(f).size}`)
    .sort();
}

function askPostgres(postgres: Postgres, tenant: string, sql: string): any[] {
  const text = execFileSync("psql", ["-XAtq", "-c", `SET search_path TO "t_${tenant}"`, "-c", `SELECT coalesce(json_agg(rows), '[]') FROM (${sql}) AS rows`, postgres.url], { stdio: ["ignore", "pipe", "ignore"] }).toString("utf8");
  return JSON.parse(text);
}

// One question to a tenant's database; with SQLite, to a copy.
export function ask(server: Server, tenant: string, sql: string): any[] {
  const postgres = databases.get(server);
  if (postgres) return askPostgres(postgres, tenant, sql);
  const folder = mkdtempSync(join(tmpdir(), "apprun-ask-"));
  try {
    const path = join(server.data, "tenants", `${tenant}.db`);
    for (const ending of ["", "-wal"]) if (existsSync(path + ending)) copyFileSync(path + ending, join(folder, `copy.db${ending}`));
    const text = execFileSync("sqlite3", ["-json", join(folder, "copy.db"), sql]).toString("utf8");
    return text.trim() === "" ? [] : JSON.parse(text);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// All that the server keeps, but for footprints: databases row by row, names and sizes of objects. Taken when two
// looks in a row agree, because deliveries and lists of calls are written a moment later.
export async function dump(server: Server, allowed: string[] = []): Promise<Dump> {
  const look = (): Dump => {
    const all: Dump = { blobs: files(join(server.data, "blobs")), folder: readdirSync(server.data).filter((f) => !/-(wal|shm)$/.test(f)).sort() }; // those go when a database rests
    const keep = (name: string, rows: string[]) => {
      if (![...footprints, ...allowed].includes(name.slice(name.indexOf(":") + 1))) all[name] = rows;
    };
    const postgres = databases.get(server);
    if (postgres) {
      for (const [name, rows] of Object.entries(dumpPostgres(postgres))) keep(name, rows);
      return all;
    }
    const tenants = join(server.data, "tenants");
    const paths = readdirSync(tenants).filter((f) => f.endsWith(".db")).map((f) => join(tenants, f));
    for (const path of [join(server.data, "platform.db"), ...paths])
      for (const [table, rows] of Object.entries(dumpFile(path))) keep(`${path.slice(server.data.length)}:${table}`, rows);
    return all;
  };
  let before = look();
  for (let i = 0; i < 400; i++) {
    await sleep(150);
    const now = look();
    if (JSON.stringify(now) === JSON.stringify(before)) return now;
    before = now;
  }
  throw new Error("what is kept does not come to rest");
}

export function expectUnchanged(before: Dump, after: Dump): void {
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (table) => JSON.stringify(before[table] ?? []) !== JSON.stringify(after[table] ?? []),
  );
  const shown = changed.map((table) => ({
    table,
    gone: (before[table] ?? []).filter((row) => !(after[table] ?? []).includes(row)).slice(0, 3),
    come: (after[table] ?? []).filter((row) => !(before[table] ?? []).includes(row)).slice(0, 3),
  }));
  expect(shown).toEqual([]);
}

// Of times: what most of them took, whatever else a machine did in one of them.
export function median(numbers: number[]): number {
  expect(numbers.length).toBeGreaterThan(0);
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}
