// What a newcomer does: the demo tenant as `scripts/start` makes it, the first steps, a second start, a
// stop in the middle of work, and the commands of docs/first-steps.md as they stand there.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client } from "./harness/client.js";
import { all, definition, ended, register } from "./harness/registration.js";
import { binary, root, Server } from "./harness/server.js";
import { eachOf, until } from "./harness/wait.js";

let folder: string;
let server: Server;
let api: Client;
let login: { url: string; tenant: string; email: string; password: string };

async function signIn(): Promise<Client> {
  const anyone = new Client(`${server.url}/t/${login.tenant}/api/v1`);
  const session = await anyone.post("/auth/login", { email: login.email, password: login.password });
  expect(session.status, session.text).toBe(200);
  return anyone.as(session.body.accessToken);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "apprun-journey-"));
  server = await Server.start({ data: join(folder, "data"), args: ["--demo"] });
  login = JSON.parse(readFileSync(join(server.data, "first-login.json"), "utf8"));
  api = await signIn();
});

afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function created(path: string, body: unknown, client = api): Promise<any> {
  const reply = await client.post(path, body);
  expect(reply.status, reply.text).toBe(201);
  return reply.body;
}

describe("the demo tenant", () => {
  it("has a sign-in of its administrator in a file for the owner only, and sample content", async () => {
    expect(statSync(join(server.data, "first-login.json")).mode & 0o777).toBe(0o600);
    expect(Object.keys(login).sort()).toEqual(["email", "password", "tenant", "url"]);
    expect(login).toMatchObject({ url: server.url, tenant: "demo" });
    expect(login.password.length).toBeGreaterThanOrEqual(12);
    expect((await api.get("/auth/me")).body.roles).toEqual(["admin"]);
    expect((await api.get("/workflows/user_registration")).body.source).toBe(definition);
    expect((await api.get("/functions/send_email")).body.permissions).toEqual(["notify.send"]);
    expect((await api.get("/collections/registrations")).status).toBe(200);
    const run = await ended(api, await register(api, { email: "first@demo.example", name: "Žofie 王" }));
    expect(run.status, JSON.stringify(run)).toBe("succeeded");
  });

  it("takes a newcomer from a collection with rules to a function that runs on an event", async () => {
    await created("/collections", {
      name: "tasks",
      fields: [
        { name: "title", type: "text", required: true, max: 80 },
        { name: "owner", type: "text", indexed: true },
        { name: "done", type: "bool", default: false },
      ],
      rules: { list: "owner = @auth.id", view: "owner = @auth.id", create: "owner = @auth.id", update: "owner = @auth.id" },
    });
    // two users who see their own only; a stranger sees nothing and may nothing
    const users = await Promise.all(
      ["ann", "bao"].map(async (name) => {
        const user = await created("/auth/users", { email: `${name}@demo.example`, name, password: "long enough 1" });
        const session = await api.as(undefined).post("/auth/login", { email: user.email, password: "long enough 1" });
        return { id: user.id, client: api.as(session.body.accessToken) };
      }),
    );
    for (const { id, client } of users) await created("/collections/tasks/records", { title: `of ${id}`, owner: id }, client);
    const [ann, bao] = users;
    const listed = await ann.client.get("/collections/tasks/records");
    expect(listed.body.items.map((i: any) => i.owner)).toEqual([ann.id]);
    expect((await ann.client.post("/collections/tasks/records", { title: "x", owner: bao.id })).status).toBe(403);
    const [record] = listed.body.items;
    expect((await bao.client.get(`/collections/tasks/records/${record.id}`)).status).toBe(404);
    expect((await bao.client.patch(`/collections/tasks/records/${record.id}`, { done: true })).status).toBe(404);
    expect((await ann.client.delete(`/collections/tasks/records/${record.id}`)).status).toBe(403); // no rule
    expect((await ann.client.patch(`/collections/tasks/records/${record.id}`, { done: true })).body.done).toBe(true);
    const stranger = api.as(undefined);
    expect((await stranger.get("/collections/tasks/records")).body.items).toEqual([]);
    expect([401, 403]).toContain((await stranger.post("/collections/tasks/records", { title: "x" })).status);

    // a function, called over HTTP; a workflow with it; a subscription that runs another
    const source = "return function(input) return { sum = input.body.a + input.body.b } end";
    const sum = await api.put("/functions/sum", { source, allow: "+" });
    expect([200, 201], sum.text).toContain(sum.status);
    expect((await ann.client.post("/fn/sum", { a: 40, b: 2 })).body).toEqual({ sum: 42 });
    expect((await stranger.post("/fn/sum", { a: 40, b: 2 })).status).toBe(401);

    const note = `return function(event)
      return apprun.data.create_record{ collection = "tasks", data = { title = event.data.what .. " " .. event.id, owner = "bot" } }
    end`;
    const bot = await api.put("/functions/note", { source: note, permissions: ["data.records.write"] });
    expect([200, 201], bot.text).toContain(bot.status);
    const subscription = await api.put("/subscriptions/notes", { topics: "order.placed", kind: "function", target: "note" });
    expect([200, 201], subscription.text).toContain(subscription.status);

    const workflow = await api.post("/workflows/order", {
      workflow: "order",
      steps: {
        add: { action: "functions.execute", function: "total" },
        tell: { action: "events.publish", depends_on: "add", when: "steps.add.output.total > 40", input: { event: "order.placed", data: { what: "${input.what}: ${steps.add.output.total}" } } },
      },
      output: { total: "${steps.add.output.total}" },
    });
    expect(workflow.status, workflow.text).toBe(201);
    await api.put("/functions/total", { source: "return function(input) return { total = input.price * input.count } end" });
    for (const [count, told] of [[21, true], [1, false]] as const) {
      const run = await created("/workflows/order/runs", { input: { what: "茶", price: 2, count } });
      const over = await ended(api, run.id);
      expect(over, JSON.stringify(over)).toMatchObject({ status: "succeeded", output: { total: 2 * count } });
      const steps = (await api.get(`/runs/${run.id}/steps`)).body.items;
      expect(steps.map((s: any) => s.status)).toEqual(["succeeded", told ? "succeeded" : "skipped"]);
    }
    const bots = () => all(api, `/collections/tasks/records?filter=${encodeURIComponent('owner = "bot"')}`);
    const [made] = await until("the event's function has run", async () => {
      const found = await bots();
      return found.length > 0 && found;
    });
    const [event] = (await all(api, `/events?filter=${encodeURIComponent('event = "order.placed"')}`));
    expect(made.title).toBe(`茶: 42 ${event.id}`);
    expect((await bots()).length).toBe(1);
    expect(await all(api, "/deadletters")).toEqual([]);
  });

  it("changes nothing at a second start, which is quick", async () => {
    const content = async () => ({
      users: await all(api, "/auth/users"),
      collections: (await api.get("/collections")).body,
      notes: await all(api, "/collections/notes/records"),
      workflows: await all(api, "/workflows"),
      functions: await all(api, "/functions"),
      subscriptions: await all(api, "/subscriptions"),
      runs: await all(api, "/runs"),
      events: (await all(api, "/events")).filter((e) => e.event !== "auth.session.created"),
      files: ["first-login.json", "platform-token"].map((f) => readFileSync(join(server.data, f), "utf8")),
    });
    const before = await content();
    expect(before.notes.length).toBeGreaterThan(0);
    const times: number[] = [];
    for (let i = 0; i < 3; i++) {
      expect(await server.kill("SIGTERM")).toBe(0);
      const began = Date.now();
      await server.up();
      times.push(Date.now() - began);
    }
    console.log(`starts: ${times.join(", ")} ms`);
    expect(Math.min(...times)).toBeLessThan(2000); // the best of three: others use the machine too
    api = await signIn();
    expect(await content()).toEqual(before);
  });
});

// A request of which the server has the head and half of the body.
class Half {
  private text = "";
  closed = false;

  constructor(
    private readonly socket: Socket,
    private readonly rest: string,
  ) {
    socket.on("data", (part) => (this.text += part.toString("utf8")));
    socket.on("close", () => (this.closed = true));
    socket.on("error", () => (this.closed = true));
  }

  static async send(port: number, path: string, token: string, body: string): Promise<Half> {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((done, fail) => socket.once("connect", done).once("error", fail));
    const half = new Half(socket, body.slice(10));
    socket.write(
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\ncontent-type: application/json\r\n` +
        `content-length: ${body.length}\r\nexpect: 100-continue\r\n\r\n`,
    );
    await until("the server asks for the body", () => half.text.includes("HTTP/1.1 100 "));
    half.text = "";
    socket.write(body.slice(0, 10));
    return half;
  }

  async finish(): Promise<string> {
    this.socket.write(this.rest);
    await until("the reply and the end of the connection", () => this.closed);
    return this.text;
  }
}

describe("a stop in the middle", () => {
  const titles = async (mark: string) => (await all(api, `/collections/notes/records?filter=${encodeURIComponent(`title ~ "${mark} %"`)}&fields=title`)).map((r) => r.title).sort();

  it("lets fifty requests in flight finish, and takes no new ones", async () => {
    const path = "/t/demo/api/v1/collections/notes/records";
    const halves = await Promise.all(Array.from({ length: 50 }, (_, i) => Half.send(server.port, path, api.token!, JSON.stringify({ title: `half ${i}` }))));
    const stopped = server.kill("SIGTERM");
    await until("new connections are refused", () => new Promise<boolean>((done) => {
      const socket = connect(server.port, "127.0.0.1");
      socket.once("error", (error: any) => done(error.code === "ECONNREFUSED"));
      socket.once("connect", () => (socket.destroy(), done(false)));
    }), 5000);
    for (const reply of await Promise.all(halves.map((half) => half.finish()))) expect(reply).toMatch(/^HTTP\/1\.1 201 /);
    expect(await stopped).toBe(0);
    await server.up();
    expect(await titles("half")).toEqual(Array.from({ length: 50 }, (_, i) => `half ${i}`).sort());
  });

  it("keeps exactly what it acknowledged, with fifty clients that do not pause", async () => {
    const acknowledged: string[] = [];
    const wrong: string[] = [];
    let stopping = false;
    let over: Promise<number | null> | undefined;
    await eachOf(Array.from({ length: 50 }, (_, i) => i), 50, async (client) => {
      for (let n = 0; ; n++) {
        const title = `busy ${client} ${n}`;
        try {
          const reply = await api.post("/collections/notes/records", { title });
          if (reply.status === 201) acknowledged.push(title);
          else if (reply.status !== 503 || !stopping) wrong.push(`${reply.status} ${reply.text}`);
        } catch (error) {
          if (!stopping) wrong.push(String(error));
          return;
        }
        if (acknowledged.length >= 200 && !stopping) {
          stopping = true;
          over = server.kill("SIGTERM");
        }
      }
    });
    expect(wrong).toEqual([]);
    expect(await over).toBe(0);
    await server.up();
    expect(await titles("busy")).toEqual(acknowledged.sort());
  });
});

describe("docs/first-steps.md", () => {
  // What changes from run to run becomes a word; where the page shows … anything may stand.
  const plain = (text: string) =>
    text
      .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "ID")
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME")
      .replace(/\r?\n/g, " ")
      .trim();

  it("does what it says", async () => {
    const place = join(folder, "walk");
    mkdirSync(join(place, "build"), { recursive: true });
    symlinkSync(binary, join(place, "build/apprun"));
    const walk = await Server.start({ data: join(place, "data"), args: ["--demo"] });
    try {
      const page = readFileSync(join(root, "docs/first-steps.md"), "utf8");
      const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```\n(?:```text\n([\s\S]*?)^```\n)?/gm)];
      expect(blocks.length).toBeGreaterThan(10);
      const script = blocks.map(([, commands], i) => `echo "@@ ${i}"\n${commands}`).join("");
      const output = execFileSync("bash", ["-eu", "-o", "pipefail", "-c", script], { cwd: place, encoding: "utf8", timeout: 300_000, stdio: ["ignore", "pipe", "pipe"] });
      const answers = output.split(/^@@ \d+\n/m).slice(1);
      expect(answers.length).toBe(blocks.length);
      blocks.forEach(([, commands, shown], i) => {
        let rest = plain(answers[i]).replaceAll("} {", "},{").replaceAll("}, {", "},{");
        for (const part of plain(shown ?? "").replaceAll("} {", "},{").replaceAll("}, {", "},{").split("…")) {
          const at = rest.indexOf(part.trim());
          expect(at, `after\n${commands}\nthe page shows\n${part}\nbut the answer was\n${answers[i]}`).toBeGreaterThanOrEqual(0);
          rest = rest.slice(at + part.trim().length);
        }
      });
      for (const [, file] of page.matchAll(/\]\(\.\.\/([^)]+)\)/g)) expect(existsSync(join(root, file)), file).toBe(true);
      const reference = await fetch(`http://127.0.0.1:${walk.port}/`, { headers: { host: "demo.localhost" } });
      expect(reference.status).toBe(200);
    } finally {
      await walk.stop();
    }
  });
});
