// Kills apprun with -9 at random instants while registrations run, restarts it on the same data, and
// says what is there in the end. Numbers that a seed decides: the people, the kill's moments as parts of a
// window; how far the server comes in a moment is the machine's.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { newTenant, type Client, type Tenant } from "./client.js";
import { Random } from "./random.js";
import { all, exactlyOneEach, noneRunning, people, prepare, type Person } from "./registration.js";
import { Postgres } from "./postgres.js";
import { Server } from "./server.js";
import { smtpSink, type Sink } from "./smtp.js";
import { until } from "./wait.js";

export interface Campaign {
  store: "sqlite" | "postgres";
  kills: number;
  runs: number; // in all
  running: number; // at the same time
  seed: number;
}

export interface Outcome {
  runs: number;
  kills: number;
  runningAtKills: number[]; // acknowledged and not known to have ended
  killedAtStart: number; // kills before the server was ready
  repeatedMails: number;
  seconds: number;
}

// pid and start time of all that descend from a process: its executors and what starts them
function descendants(pid: number): string[] {
  const children = new Map<number, [number, string][]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), [Number(name), fields[19]]]);
    } catch {
      /* gone */
    }
  }
  const found: string[] = [];
  const open = [pid];
  for (let next = open.pop(); next !== undefined; next = open.pop())
    for (const [child, start] of children.get(next) ?? []) {
      found.push(`${child} ${start}`);
      open.push(child);
    }
  return found;
}

function lives(process: string): boolean {
  const [pid, start] = process.split(" ");
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[19] === start && fields[0] !== "Z";
  } catch {
    return false;
  }
}

// Keeps `running` runs under way until the people are used up. Whoever got no answer asks again with the
// same Idempotency-Key; that is all a client needs to know of a crash.
class Feeder {
  readonly submitted: Person[] = [];
  private readonly open = new Map<string, () => void>(); // run → its worker goes on
  allowed = 0;
  private next = 0;
  private broken: Error | undefined;
  stopped = false;

  constructor(
    private readonly client: Client,
    private readonly people: Person[],
    private readonly up: () => Promise<void>,
  ) {}

  get running(): number {
    return this.open.size;
  }

  get ended(): number {
    return this.submitted.length - this.open.size;
  }

  private async ask<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      await this.up();
      try {
        return await work();
      } catch (error) {
        // fetch throws TypeError when the connection fails; a body that was cut is one too
        if (!(error instanceof TypeError) && !(error instanceof SyntaxError)) throw error;
        await sleep(10);
      }
    }
  }

  private async worker(): Promise<void> {
    while (this.next < this.people.length && !this.broken) {
      if (this.next >= this.allowed) {
        await sleep(10);
        continue;
      }
      const person = this.people[this.next++];
      const key = { "idempotency-key": `register-${person.email}` };
      const id = await this.ask(async () => {
        const run = await this.client.post("/workflows/user_registration/runs", { input: person }, key);
        if (run.status === 503) throw new TypeError("stopping");
        expect(run.status, run.text).toBe(201);
        return run.body.id as string;
      });
      this.submitted.push(person);
      await new Promise<void>((done) => this.open.set(id, done));
    }
  }

  private async watch(): Promise<void> {
    while (!this.stopped && !this.broken) {
      await sleep(50);
      if (this.open.size === 0) continue;
      const before = [...this.open.keys()];
      const running = new Set(
        await this.ask(async () => {
          const list = await this.client.get(`/runs?filter=${encodeURIComponent('status = "running"')}&limit=500&fields=id`);
          if (list.status === 503) throw new TypeError("stopping");
          expect(list.status, list.text).toBe(200);
          return list.body.items.map((run: any) => run.id as string);
        }),
      );
      for (const id of before)
        if (!running.has(id)) {
          const done = this.open.get(id)!;
          this.open.delete(id);
          done();
        }
    }
  }

  // resolves when all people are registered and their runs have ended
  async run(width: number): Promise<void> {
    const guard = (error: Error) => {
      this.broken ??= error;
    };
    const watching = this.watch().catch(guard);
    const working = Promise.all(Array.from({ length: width }, () => this.worker().catch(guard)));
    await Promise.race([working, until("the feeder breaks", () => this.broken, 3_600_000, 100)]);
    this.stopped = true;
    await watching;
    if (this.broken) throw this.broken;
  }
}

interface Place {
  server: Server;
  sink: Sink;
  tenant: Tenant;
}

// One kill: mostly while it works, every fifth time while it starts.
async function killOnce({ server, sink }: Place, duringStart: number | undefined): Promise<void> {
  const executors = descendants(server.process.pid!);
  await server.kill("SIGKILL");
  sink.generation++;
  server.launch();
  if (duringStart !== undefined) {
    await sleep(duringStart);
    executors.push(...descendants(server.process.pid!));
    await server.kill("SIGKILL");
    sink.generation++;
    server.launch();
  }
  await server.ready();
  await until(`no process of the killed one is left`, () => !executors.some(lives), 10_000);
}

async function fight(place: Place, plan: Campaign, outcome: Outcome): Promise<void> {
  const { server, sink, tenant } = place;
  const random = new Random(plan.seed);
  let gate = Promise.resolve();
  const feeder = new Feeder(tenant.admin, people(plan.runs, plan.seed, `k${plan.seed}x`), () => gate);
  const feeding = feeder.run(plan.running);
  feeding.catch(() => {}); // awaited below

  // a tenth without kills: how long does one run take among so many?
  const warm = Math.max(10, Math.floor(plan.runs / 10));
  feeder.allowed = warm;
  const begin = Date.now();
  await Promise.race([feeding, until("the first runs end", () => feeder.ended >= warm, 120_000)]);
  const each = (Date.now() - begin) / warm;
  const share = (plan.runs - warm - plan.running) / plan.kills;
  feeder.allowed = warm + plan.running;

  for (let kill = 0; kill < plan.kills; ) {
    const both = kill % 5 === 4 && kill + 1 < plan.kills;
    // so far as the pace allows, but not until all is done: the kill should meet work
    const pause = Date.now() + random.next() * 2 * each * Math.max(share, 4);
    const enough = sink.mails.length + random.next() * 2 * Math.max(share, 4);
    const startDelay = random.next() * 300;
    let open!: () => void;
    while (Date.now() < pause && sink.mails.length < enough) await sleep(3);
    await sleep(random.next() * 30);
    outcome.runningAtKills.push(feeder.running);
    gate = new Promise((done) => (open = done));
    await killOnce(place, both ? startDelay : undefined);
    kill += both ? 2 : 1;
    outcome.kills = kill;
    if (both) outcome.killedAtStart++;
    feeder.allowed = Math.min(plan.runs, Math.ceil(warm + plan.running + share * kill));
    open();
  }
  feeder.allowed = plan.runs;
  await feeding;
  await noneRunning(tenant.admin, 120_000);
  expect(server.process.exitCode).toBe(null);
}

function integrity(data: string): void {
  const files = readdirSync(data, { recursive: true, encoding: "utf8" }).filter((f) => f.endsWith(".db"));
  expect(files.length).toBeGreaterThan(1); // the platform's and the tenant's
  for (const file of files) {
    const ask = (sql: string) => execFileSync("sqlite3", [join(data, file), sql], { encoding: "utf8" }).trim();
    expect(ask("PRAGMA integrity_check"), file).toBe("ok");
    expect(ask("PRAGMA foreign_key_check"), file).toBe("");
  }
}

export async function campaign(plan: Campaign): Promise<Outcome> {
  const began = Date.now();
  const folder = mkdtempSync(join(tmpdir(), "apprun-kill-"));
  const data = join(folder, "data");
  const sink = await smtpSink();
  const outcome: Outcome = { runs: plan.runs, kills: 0, runningAtKills: [], killedAtStart: 0, repeatedMails: 0, seconds: 0 };
  const store = plan.store === "postgres" ? Postgres.start() : undefined;
  let server: Server | undefined;
  try {
    server = await Server.start({ data, args: ["--smtp-url", `smtp://127.0.0.1:${sink.port}`, "--access-ttl-s", "86400", "--access-log=false", ...(store?.args ?? [])] });
    const tenant = await newTenant(server, "kill");
    await prepare(tenant);
    await fight({ server, sink, tenant }, plan, outcome);

    const everybody = people(plan.runs, plan.seed, `k${plan.seed}x`);
    const mails = await exactlyOneEach(tenant, everybody, sink);
    for (const [email, copies] of mails) {
      // a second copy is right only when the process that sent the first was killed before its commit
      expect(new Set(copies.map((c) => c.generation)).size, `mails to ${email} from one process`).toBe(copies.length);
      outcome.repeatedMails += copies.length - 1;
    }
    const steps = await Promise.all((await all(tenant.admin, "/runs?fields=id")).slice(0, 50).map((r) => tenant.admin.get(`/runs/${r.id}/steps`)));
    for (const reply of steps) expect(reply.body.items.map((s: any) => s.status)).toEqual(Array(5).fill("succeeded"));
    await server.stop();
    if (plan.store === "sqlite") integrity(data);
  } catch (error) {
    console.error(`campaign ${JSON.stringify(plan)} failed after ${outcome.kills} kills; the log's end:\n${server?.log.slice(-5000)}`);
    throw error;
  } finally {
    await server?.kill("SIGKILL");
    await sink.close();
    store?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
  outcome.seconds = (Date.now() - began) / 1000;
  return outcome;
}
