// One server at a time on a PostgreSQL: a second one says why it does not start, and takes over at once when
// the first is killed.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { afterAll, beforeAll, expect, it } from "vitest";
import { newTenant, platform } from "./harness/client.js";
import { Postgres } from "./harness/postgres.js";
import { binary, Server } from "./harness/server.js";

let postgres: Postgres;
let first: Server;

beforeAll(async () => {
  postgres = Postgres.start();
  first = await Server.start({ args: postgres.args });
}, 60_000);

afterAll(() => {
  postgres.stop();
  for (const left of [first.data, `${first.data}-2`, first.logFile]) rmSync(left, { recursive: true, force: true });
});

it("refuses a second server and the command line of one, and lets it in when the first is gone", async () => {
  await newTenant(first, "acme");
  for (const words of [["serve", "--port", "0"], ["tenant", "list"]]) {
    const second = spawnSync(binary, [...words, "--data", `${first.data}-2`, ...postgres.args], { encoding: "utf8", timeout: 300_000 });
    expect(second.status, second.stderr).toBe(3);
    expect(second.stderr).toContain("another apprun serves this database");
  }
  expect((await platform(first).get("/tenants")).status).toBe(200);
  await first.kill("SIGKILL");
  const next = await Server.start({ args: postgres.args });
  expect((await platform(next).get("/tenants")).text).toContain("acme");
  await next.stop();
}, 120_000);
