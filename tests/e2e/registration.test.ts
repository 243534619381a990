// The design's own registration workflow on real input, with a real SMTP server: one user, one mail, one
// bucket, one event each; and what happens when the input, the mail server or the address says no.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newTenant, type Tenant } from "./harness/client.js";
import { ended, events, exactlyOneEach, all, noneRunning, people, prepare, register } from "./harness/registration.js";
import { Postgres } from "./harness/postgres.js";
import { Server } from "./harness/server.js";
import { smtpSink, type Sink } from "./harness/smtp.js";
import { eachOf, until } from "./harness/wait.js";

let server: Server;
let sink: Sink;

async function tenantFor(name: string): Promise<Tenant> {
  const tenant = await newTenant(server, name);
  await prepare(tenant);
  return tenant;
}

async function steps(tenant: Tenant, run: string): Promise<Record<string, any>> {
  const reply = await tenant.admin.get(`/runs/${run}/steps`);
  expect(reply.status, reply.text).toBe(200);
  return Object.fromEntries(reply.body.items.map((s: any) => [s.step, s]));
}

async function made(tenant: Tenant) {
  return {
    users: (await all(tenant.admin, "/auth/users")).length - 1, // but the administrator
    buckets: (await all(tenant.admin, "/buckets")).length,
    events: (await events(tenant.admin, "user_registered")).length,
    mails: sink.mails.length,
  };
}

describe.each(["sqlite", "postgres"])("registrations on %s", (store) => {
  let postgres: Postgres | undefined;

  beforeAll(async () => {
    sink = await smtpSink();
    postgres = store === "postgres" ? Postgres.start() : undefined;
    server = await Server.start({ args: ["--smtp-url", `smtp://127.0.0.1:${sink.port}`, ...(postgres?.args ?? [])] });
  });

  afterAll(async () => {
    await server?.stop();
    await sink?.close();
    postgres?.stop();
  });

  beforeEach(() => {
    sink.mails.length = 0;
    sink.refuse.times = 0;
  });

  it("gives a thousand people one user, one mail, one bucket, one event each", async () => {
    const tenant = await tenantFor("thousand");
    const everybody = people(1000, 42);
    await eachOf(everybody, 24, async (person) => void (await register(tenant.admin, person)));
    await noneRunning(tenant.admin, 400_000);
    const mails = await exactlyOneEach(tenant, everybody, sink);
    expect([...mails.values()].filter((m) => m.length !== 1)).toEqual([]);
    expect(new Set(sink.mails.map((m) => m.messageId)).size).toBe(1000);

    // who gave a password can sign in with it, and the run does not show it
    const person = everybody.find((p) => p.password)!;
    const session = await tenant.anyone.post("/auth/login", { email: person.email, password: person.password });
    expect(session.status, session.text).toBe(200);
    expect((await tenant.anyone.as(session.body.accessToken).get("/auth/me")).body.name).toBe(person.name);
    const runs = await all(tenant.admin, "/runs");
    expect(JSON.stringify(runs)).not.toContain("päss-");
    for (const run of runs.slice(0, 20)) expect(JSON.stringify(await steps(tenant, run.id))).not.toContain("päss-");
  }, 600_000);

  it("ends a run with wrong input at its first step, with the fields, and makes nothing", async () => {
    const tenant = await tenantFor("invalid");
    const wrong: [unknown, Record<string, string>][] = [
      [{ email: "nobody", name: "Zoë" }, { email: "email" }],
      [{ name: "王伟" }, { email: "required" }],
      [{ email: "a@b.example", name: "" }, { name: "too-short" }],
      [{ email: "a@b.example", name: "x".repeat(201), password: "short" }, { name: "too-long", password: "too-short" }],
      [{ email: 7, name: ["a"], locale: {} }, { email: "type", name: "type", locale: "type" }],
      [{ email: "a@b.example", name: "Zoë", admin: true }, { admin: "unknown" }],
      [{}, { email: "required", name: "required" }],
    ];
    for (const [input, fields] of wrong) {
      const id = await register(tenant.admin, input);
      const run = await ended(tenant.admin, id);
      expect(run.status).toBe("failed");
      expect(run.error.step).toBe("validate_input");
      expect(run.error.status).toBe(422);
      expect(run.error.fields).toEqual(fields);
      const byStep = await steps(tenant, id);
      expect(byStep.validate_input).toMatchObject({ status: "failed", attempt: 1 });
      for (const later of ["create_user", "send_welcome_email", "initialize_storage", "log_activity"])
        expect(["pending", "cancelled", "skipped"]).toContain(byStep[later].status);
    }
    expect(await made(tenant)).toEqual({ users: 0, buckets: 0, events: 0, mails: 0 });
    // not an object: refused at the door
    for (const body of [{ input: "text" }, { input: [1] }, { input: 7 }, { input: {}, extra: 1 }]) {
      const refused = await tenant.admin.post("/workflows/user_registration/runs", body);
      expect(refused.status, refused.text).toBe(422);
    }
    expect((await all(tenant.admin, "/runs")).length).toBe(wrong.length);
  });

  it("fails with auth/email-taken when the address has a user, and makes nothing more", async () => {
    const tenant = await tenantFor("taken");
    const first = await ended(tenant.admin, await register(tenant.admin, { email: "li@x.example", name: "李" }));
    expect(first.status, JSON.stringify(first)).toBe("succeeded");
    const again = await ended(tenant.admin, await register(tenant.admin, { email: "LI@x.example", name: "Li 2" }));
    expect(again.status).toBe("failed");
    expect(again.error).toMatchObject({ code: "auth/email-taken", status: 409, step: "create_user" });
    expect(await made(tenant)).toEqual({ users: 1, buckets: 1, events: 1, mails: 1 });
    const [user] = (await all(tenant.admin, "/auth/users")).filter((u) => u.email === "li@x.example");
    expect(user.name).toBe("李");
  });

  it("waits while the mail server says 451, and ends well", async () => {
    const tenant = await tenantFor("later");
    sink.refuse.times = 4;
    sink.refuse.code = 451;
    const two = people(2, 7, "later");
    const ids = await Promise.all(two.map((p) => register(tenant.admin, p)));
    for (const id of ids) expect((await ended(tenant.admin, id)).status).toBe("succeeded");
    const attempts = await Promise.all(ids.map(async (id) => (await steps(tenant, id)).send_welcome_email.attempt));
    expect(attempts.reduce((a, b) => a + b)).toBe(6); // four refused, two accepted
    const mails = await exactlyOneEach(tenant, two, sink);
    expect([...mails.values()].map((m) => m.length)).toEqual([1, 1]);
  });

  it("shows the waiting step while it waits, and goes on after a restart", async () => {
    const tenant = await tenantFor("restart");
    sink.refuse.times = 3;
    const [person] = people(1, 8, "restart");
    const id = await register(tenant.admin, person);
    await until("the step waits", async () => (await steps(tenant, id)).send_welcome_email.status === "waiting");
    const waiting = (await steps(tenant, id)).send_welcome_email;
    expect(waiting.error).toMatchObject({ status: 503 });
    expect(Date.parse(waiting.next)).toBeGreaterThan(0);
    expect((await steps(tenant, id)).log_activity.status).toBe("pending");
    expect(await server.kill("SIGTERM")).toBe(0);
    await server.up();
    expect((await ended(tenant.admin, id)).status).toBe("succeeded");
    const mails = await exactlyOneEach(tenant, [person], sink);
    expect(mails.get(person.email)!.length).toBe(1);
  });

  it("ends a run when the mail server refuses for good, and does not try again", async () => {
    const tenant = await tenantFor("refused");
    sink.refuse.times = 1;
    sink.refuse.code = 554;
    const id = await register(tenant.admin, { email: "no@x.example", name: "Nobody" });
    const run = await ended(tenant.admin, id);
    expect(run.status).toBe("failed");
    expect(run.error.step).toBe("send_welcome_email");
    expect((await steps(tenant, id)).send_welcome_email.attempt).toBe(1);
    const left = await made(tenant);
    expect(left).toMatchObject({ users: 1, events: 0, mails: 0 });
  });
});
