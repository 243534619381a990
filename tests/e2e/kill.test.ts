// kill -9 at random instants, restart, and nothing is lost or doubled. scripts/dev/kill-campaign runs the
// same with other numbers.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { campaign, type Campaign } from "./harness/campaign.js";
import { Client } from "./harness/client.js";
import { Random } from "./harness/random.js";
import { all } from "./harness/registration.js";
import { Server } from "./harness/server.js";

const number = (name: string, otherwise: number) => Number(process.env[name] ?? otherwise);
const stores = (process.env.KILL_STORES ?? "sqlite postgres").split(" ") as Campaign["store"][];
const rounds = number("KILL_ROUNDS", 1);
const first = number("KILL_SEED", Math.floor(Date.now() % 1_000_000));

for (let round = 0; round < rounds; round++)
  for (const store of stores) {
    const plan: Campaign = { store, kills: number("KILL_KILLS", 20), runs: number("KILL_RUNS", 200), running: number("KILL_RUNNING", 50), seed: first + round };
    it(`ends every registration once on ${store}, with ${plan.kills} kills; KILL_SEED=${plan.seed}`, async () => {
      console.log(`${store}: seed ${plan.seed}`);
      const done = await campaign(plan);
      const running = done.runningAtKills;
      const mean = running.reduce((a, b) => a + b) / running.length;
      console.log(
        `${store}: ${done.runs} runs, ${done.kills} kills (${done.killedAtStart} during a start), ` +
          `running at a kill: ${Math.min(...running)} to ${Math.max(...running)}, mean ${Math.round(mean)}; ` +
          `repeated mails: ${done.repeatedMails}; ${done.seconds.toFixed(1)} s`,
      );
      expect(done.kills).toBe(plan.kills);
      expect(mean).toBeGreaterThan(plan.running / 4); // the kills met work
      expect(done.repeatedMails).toBeLessThan(plan.kills * plan.running);
    }, number("KILL_TIMEOUT_S", 300) * 1000);
  }

it(`has a demo tenant with everything after a first start that was killed; KILL_SEED=${first}`, async () => {
  const random = new Random(first);
  let typical = 0;
  for (let round = 0; round < 8; round++) {
    const folder = mkdtempSync(join(tmpdir(), "apprun-first-"));
    const data = join(folder, "data");
    let server: Server | undefined;
    try {
      const began = Date.now();
      server = await Server.start({ data, args: ["--demo"], killAfter: round === 0 ? undefined : random.next() * typical });
      if (round === 0) typical = Date.now() - began;
      const login = JSON.parse(readFileSync(join(data, "first-login.json"), "utf8"));
      const anyone = new Client(`${server.url}/t/demo/api/v1`);
      const session = await anyone.post("/auth/login", { email: login.email, password: login.password });
      expect(session.status, session.text).toBe(200);
      const api = anyone.as(session.body.accessToken);
      expect((await all(api, "/auth/users")).map((u) => u.email)).toEqual([login.email]);
      expect((await api.get("/collections")).body.items.map((c: any) => c.name).sort()).toEqual(["notes", "registrations"]);
      expect((await all(api, "/collections/notes/records")).length).toBe(3);
      expect((await all(api, "/functions")).map((f) => f.name)).toEqual(["send_email"]);
      expect((await all(api, "/workflows")).map((w) => w.name)).toEqual(["user_registration"]);
      await server.stop();
    } finally {
      await server?.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    }
  }
}, 120_000);
