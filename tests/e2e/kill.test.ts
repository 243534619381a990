// kill -9 at random instants, restart, and nothing is lost or doubled. scripts/dev/kill-campaign runs the
// same with other numbers.
import { expect, it } from "vitest";
import { campaign, type Campaign } from "./harness/campaign.js";

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
      console.log(
        `${store}: ${done.runs} runs, ${done.kills} kills (${done.killedAtStart} during a start), ` +
          `running at a kill: ${Math.min(...running)} to ${Math.max(...running)}, mean ${Math.round(running.reduce((a, b) => a + b) / running.length)}; ` +
          `repeated mails: ${done.repeatedMails}; ${done.seconds.toFixed(1)} s`,
      );
      expect(done.kills).toBe(plan.kills);
      expect(Math.max(...running)).toBeGreaterThan(plan.running / 2); // the kills met work
      expect(done.repeatedMails).toBeLessThan(plan.kills * plan.running);
    }, number("KILL_TIMEOUT_S", 300) * 1000);
  }
