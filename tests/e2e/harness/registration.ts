// The registration workflow of the demo pack: people to register, a tenant prepared for it, and what
// must be there of each person afterwards.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { root } from "./server.js";
import { Random } from "./random.js";
import { until } from "./wait.js";
import type { Client, Reply, Tenant } from "./client.js";
import type { Sink } from "./smtp.js";

const pack = join(root, "scripts/packs/demo");
export const definition = readFileSync(join(pack, "workflows/user_registration.yaml"), "utf8");
const sendEmail = readFileSync(join(pack, "functions/send_email.lua"), "utf8");

export interface Person {
  email: string;
  name: string;
  locale: string;
  password?: string;
}

// Chinese, accented and right-to-left names, and what mail and JSON must not stumble over: quotes,
// commas, combining marks, characters outside the basic plane, both directions in one name.
const names: ((r: Random) => [string, string])[] = [
  (r) => [r.pick([..."王李张刘陈杨赵黄周吴欧阳司马𠮷"]) + r.pick(["伟", "芳", "秀英", "娜", "敏", "静", "丽", "强", "磊", "洋", "𡘙", "〇一"]), "zh-CN"],
  (r) => [`${r.pick(["Zoë", "Søren", "Jürgen", "Łukasz", "Žofie", "Đorđe", "Nuñez", "Françoise", "Ağça", "Þóra"])} ${r.pick(["Ångström", "Müller-Lüdenscheidt", "Dvořák", "Şimşek", "Nguyễn", "Ó Súilleabháin", "d’Été", "Håkansson"])}`, "en"],
  (r) => [`${r.pick(["محمد", "فاطمة", "عبد الرحمن", "لَيْلَى", "نور"])} ${r.pick(["الخوارزمي", "حداد", "العمري", "بن‌علی"])}`, "ar"],
  (r) => [`${r.pick(["שָׂרָה", "דוד", "נועה", "יוסף"])} ${r.pick(["כהן", "לוי", "בן־גוריון", "מזרחי"])}`, "he"],
  (r) => [`${r.pick(["Zoe\u0308", "Amélie".normalize("NFD"), "Ångel".normalize("NFD")])} ${r.pick(["Núñez".normalize("NFD"), "Nguyễn".normalize("NFD")])}`, "fr"],
  (r) => [r.pick(['Seán "Johnny" O\'Brien, Jr.', "李 Smith (נועה)", "=?utf-8?Q?José?= <x>", "Émile; Zola\\", "محمد Ali 王", "𝒵𝑜𝑒 👩🏽‍🚀", "100%s %n Ünal", "."]), "en-GB"],
];

// The same people for the same seed; what makes a person findable is the number in the address.
export function people(count: number, seed = 1, mark = "p"): Person[] {
  const r = new Random(seed);
  return Array.from({ length: count }, (_, i) => {
    const [name, locale] = names[i % names.length](r);
    return {
      email: `${mark}${i}@registration.example`,
      name,
      locale,
      ...(i % 10 === 0 ? { password: `päss-${mark}-${i} 密码` } : {}),
    };
  });
}

// The collection as the data module's demo content defines it, the function, the workflow as written.
export async function prepare(tenant: Tenant): Promise<void> {
  const admin = tenant.admin;
  const collection = await admin.post("/collections", {
    name: "registrations",
    fields: [
      { name: "email", type: "email", required: true },
      { name: "name", type: "text", required: true, min: 1, max: 200 },
      { name: "password", type: "text", min: 8, max: 200 },
      { name: "locale", type: "text", max: 35 },
    ],
  });
  expect(collection.status, collection.text).toBe(201);
  const fn = await admin.put("/functions/send_email", { source: sendEmail, permissions: ["notify.send"] });
  expect([200, 201], fn.text).toContain(fn.status);
  const workflow = await admin.post("/workflows/user_registration", definition, { "content-type": "application/yaml" });
  expect(workflow.status, workflow.text).toBe(201);
}

export async function register(client: Client, input: unknown, headers: Record<string, string> = {}): Promise<string> {
  const run = await client.post("/workflows/user_registration/runs", { input }, headers);
  expect(run.status, run.text).toBe(201);
  return run.body.id;
}

export async function ended(client: Client, id: string, ms = 60_000): Promise<any> {
  return until(`run ${id} ends`, async () => {
    const run = await client.get(`/runs/${id}`);
    expect(run.status, run.text).toBe(200);
    return run.body.status !== "running" && run.body;
  }, ms);
}

export async function noneRunning(client: Client, ms: number): Promise<void> {
  await until("no run is running", async () => {
    const running = await client.get(`/runs?filter=${encodeURIComponent('status = "running"')}&limit=1&fields=id`);
    expect(running.status, running.text).toBe(200);
    return running.body.items.length === 0;
  }, ms, 100);
}

// All pages of a list, by cursor.
export async function all(client: Client, path: string, limit = 500): Promise<any[]> {
  const items: any[] = [];
  let cursor: string | null = "";
  while (cursor !== null) {
    const page: Reply = await client.get(`${path}${path.includes("?") ? "&" : "?"}limit=${limit}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
    expect(page.status, page.text).toBe(200);
    items.push(...page.body.items);
    cursor = page.body.nextCursor;
  }
  return items;
}

export function events(client: Client, topic: string): Promise<any[]> {
  return all(client, `/events?filter=${encodeURIComponent(`event = "${topic}"`)}`);
}

// One of each: `key` says whose an item is; items of nobody count as wrong.
function oneOfEach(what: string, wanted: Iterable<string>, items: any[], key: (item: any) => string): Map<string, any> {
  const found = new Map<string, any>();
  const wrong: string[] = [];
  const open = new Set(wanted);
  for (const item of items) {
    const whose = key(item);
    if (!open.delete(whose)) wrong.push(`${found.has(whose) ? "twice" : "nobody's"}: ${whose}`);
    found.set(whose, item);
  }
  wrong.push(...[...open].map((whose) => `missing: ${whose}`));
  expect(wrong, what).toEqual([]);
  return found;
}

export function subjectOf(person: Person): string {
  return person.locale.startsWith("zh") ? `欢迎，${person.name}` : `Welcome, ${person.name}`;
}

// Each person has exactly one run, user, bucket and event, and the mail's content is right. Repeats of
// mails are the caller's to judge: returned are all mails by address.
export async function exactlyOneEach(tenant: Tenant, everybody: Person[], sink: Sink): Promise<Map<string, Sink["mails"]>> {
  const admin = tenant.admin;
  const byEmail = new Map(everybody.map((p) => [p.email, p]));
  const runs = await all(admin, "/runs?fields=id,status");
  expect(runs.filter((r) => r.status !== "succeeded")).toEqual([]);
  expect(runs.length).toBe(everybody.length);

  const users = oneOfEach("users", byEmail.keys(), (await all(admin, "/auth/users")).filter((u) => u.email !== tenant.email), (u) => u.email);
  for (const person of everybody) {
    const { name, locale } = users.get(person.email);
    expect({ name, locale }).toEqual({ name: person.name, locale: person.locale });
  }
  const ids = new Map([...users.values()].map((u) => [u.id, u.email]));

  oneOfEach("buckets", ids.keys(), await all(admin, "/buckets"), (b) => (b.bucket === `user-${b.owner}` ? b.owner : b.bucket));
  const registered = oneOfEach("user_registered", byEmail.keys(), await events(admin, "user_registered"), (e) => e.data.email);
  for (const person of everybody) {
    expect(registered.get(person.email).data.name).toBe(person.name);
    expect(JSON.stringify(registered.get(person.email))).not.toContain("päss-");
  }
  oneOfEach("auth.user.created", ids.keys(), (await events(admin, "auth.user.created")).filter((e) => e.data.email !== tenant.email), (e) => e.key);
  oneOfEach("storage.bucket.created", [...ids.keys()].map((id) => `user-${id}`), await events(admin, "storage.bucket.created"), (e) => e.key);
  oneOfEach("workflow.run.finished", runs.map((r) => r.id), await events(admin, "workflow.run.finished"), (e) => e.key);
  expect(await all(admin, "/deadletters")).toEqual([]);

  const mails = new Map<string, Sink["mails"]>(everybody.map((p) => [p.email, []]));
  for (const mail of sink.mails) {
    const to = (Array.isArray(mail.to) ? mail.to : [mail.to]).flatMap((t) => t!.value.map((v) => v.address!));
    expect(to.length).toBe(1);
    const person = byEmail.get(to[0])!;
    expect(person, `a mail to nobody: ${to[0]}`).toBeDefined();
    expect(mail.subject).toBe(subjectOf(person));
    expect(mail.text).toContain(person.name);
    expect(mail.messageId).toBe(`<welcome-${users.get(person.email).id}@${tenant.name}.apprun>`);
    mails.get(person.email)!.push(mail);
  }
  expect([...mails].filter(([, m]) => m.length === 0).map(([email]) => email), "without mail").toEqual([]);
  return mails;
}
