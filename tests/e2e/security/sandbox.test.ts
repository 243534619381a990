// The worst rows of the sandbox's attack table, through the real server: deployed and called over HTTP by one tenant,
// while a neighbour's calls must go on. (All rows, at the executor itself: tests/security/sandbox_attacks.c.)
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Server } from "../harness/server.js";
import { type Answer, type Furnished, Wire, dump, expectProblem, expectUnchanged, furnish, median, raw } from "./kit.js";

let server: Server, alpha: Furnished, beta: Furnished, wire: Wire, neighbour: Wire;

beforeAll(async () => {
  server = await Server.start();
  alpha = await furnish(server, "alpha");
  beta = await furnish(server, "beta");
  wire = new Wire(server, 64);
  neighbour = new Wire(server, 2);
});

afterAll(async () => {
  await wire?.close();
  await neighbour?.close();
  await server?.stop();
});

interface Attack {
  row: number;
  name: string;
  body: string; // of the function
  stopped?: RegExp; // the limit that ends it
  fails?: boolean; // ends with an ordinary error
  answers?: (value: any, answer: Answer) => void;
  memoryMb?: number;
  permissions?: string[];
}

const loop = "while true do end";
const attacks: Attack[] = [
  { row: 5, name: "a loop in a message handler", body: `xpcall(function() error('x') end, function() ${loop} end)`, stopped: /cpu-limit|killed/ },
  { row: 6, name: "a loop in a coroutine under pcall", body: `while true do pcall(coroutine.wrap(function() ${loop} end)) end`, stopped: /cpu-limit|killed/ },
  { row: 13, name: "a pattern that never ends", body: "(('a'):rep(2000)):find(('.-'):rep(40) .. 'b')", stopped: /cpu-limit|killed/ },
  { row: 23, name: "long strings compared for ever", body: "local a = ('\\0'):rep(2^22) local b = a .. 'x' while true do local _ = a < b end", stopped: /cpu-limit|killed/ },
  { row: 36, name: "a string that doubles", body: "local s = 'x' while true do s = s .. s end", stopped: /memory-limit/ },
  { row: 38, name: "a table without end", body: "local t = {} for i = 1, 1e9 do t['k' .. i] = i end", stopped: /memory-limit|cpu-limit|killed/ },
  { row: 48, name: "a flood of log lines", body: "for i = 1, 1e6 do print(('x'):rep(64)) end return 'done'" },
  { row: 49, name: "a result of 100 MB", body: "return ('x'):rep(100000000)", memoryMb: 256, stopped: /result-too-large|memory-limit|cpu-limit|killed/ },
  { row: 49, name: "a result of depth 10,000", body: "local t = {} for i = 1, 10000 do t = {t} end return t", stopped: /result-too-large/ },
  { row: 54, name: "a chain of coroutine.close", body: "local co for i = 1, 12000 do local prev = co co = coroutine.create(function() local x <close> = setmetatable({}, {__close = function() if prev then local ok, e = coroutine.close(prev) if not ok then error(e, 0) end end end}) coroutine.yield() end) coroutine.resume(co) end local ok, e = coroutine.close(co) if not ok then error(e, 0) end", memoryMb: 128, fails: true, stopped: /memory-limit|cpu-limit|killed/ },
  { row: 66, name: "doors that are not there", body: "return { io == nil, os == nil or os.execute == nil, package == nil, debug == nil, dofile == nil, loadfile == nil, load == nil or not pcall(load('return io.open')), string.dump == nil }", answers: (value) => expect(value).toEqual(Array(8).fill(true)) },
  { row: 73, name: "a finalizer that loops", body: `return not pcall(setmetatable, {}, {__gc = function() ${loop} end})`, answers: (value) => expect(value).toBe(true) },
  { row: 79, name: "addresses", body: "return { tostring(print), tostring({}), tostring(coroutine.create(print)), string.format('%p', {}), tostring(_G), tostring(string) }", answers: (_value, answer) => expect(answer.text).not.toMatch(/0x[0-9a-f]{5,}|[0-9a-f]{9,}/) },
  { row: 89, name: "a million calls of the platform", body: "for i = 1, 1e6 do pcall(apprun.i18n.get_locales, {}) end return 'done'", stopped: /host-calls|cpu-limit|killed/ },
  { row: 91, name: "itself, through the platform", body: "local ok, e = pcall(apprun.functions.execute, { ['function'] = 'attack', input = {} }) return { ok = ok, code = not ok and e.code or nil, inner = ok and e or nil }", permissions: ["*"], answers: (value) => {
    let depth = 0;
    for (let at = value; at?.inner; at = at.inner) depth++;
    expect(depth).toBeGreaterThan(0);
    expect(depth).toBeLessThanOrEqual(9);
  } },
  { row: 91, name: "itself twice, through the platform", body: "for i = 1, 2 do pcall(apprun.functions.execute, { ['function'] = 'attack', input = {} }) end return 'done'", permissions: ["*"], stopped: /./, answers: (value) => expect(value).toBe("done") },
];

async function deploy(attack: Attack, name = "attack"): Promise<void> {
  const put = await alpha.admin.put(`/functions/${name}`, {
    source: `return function(input) ${attack.body} end`,
    allow: "-",
    permissions: attack.permissions ?? [],
    ...(attack.memoryMb ? { limits: { memoryMb: attack.memoryMb } } : {}),
  });
  if (put.status >= 300) expect.fail(put.text);
}

// The neighbour's calls, one after the other, all the while: each must succeed, most at once, all within
// a time in which a busy machine comes to it.
async function besides<T>(work: Promise<T>): Promise<T> {
  let over = false;
  const times: number[] = [];
  const calls = (async () => {
    do {
      const start = Date.now();
      const answer = await neighbour.send("POST", `${beta.prefix}/functions/greet/execute`, '{"input":{}}', { "content-type": "application/json", authorization: `Bearer ${beta.admin.token}` });
      times.push(Date.now() - start);
      if (answer.status !== 200) expect.fail(`the neighbour got ${answer.status}: ${answer.text}`);
      expect(answer.json.said).toBe(beta.canary);
      await sleep(5);
    } while (!over);
  })();
  try {
    return await work;
  } finally {
    over = true;
    await calls;
    expect(median(times)).toBeLessThan(500);
    expect(Math.max(...times)).toBeLessThan(30_000);
  }
}

function expectOutcome(attack: Attack, answer: Answer): void {
  expect(answer.text).not.toContain(beta.canary);
  if (answer.status === 200) {
    if (attack.stopped && !attack.answers) expect.fail(`was not stopped: ${answer.text.slice(0, 200)}`);
    attack.answers?.(answer.json, answer);
    return;
  }
  expectProblem(answer, { status: [500, 504], code: /^function\/(limit|failed)$/ });
  if (answer.json.code === "function/failed") expect(attack.fails, answer.text).toBe(true);
  else expect(answer.json.params.limit).toMatch(attack.stopped ?? /cpu-limit|killed/);
}

describe("an attack from a function", () => {
  it.each(attacks)("row $row, $name: it ends as the table says, and the neighbour's calls go on", async (attack) => {
    await deploy(attack);
    const start = Date.now();
    const answer = await besides(wire.send("GET", `${alpha.prefix}/fn/attack`));
    expect(Date.now() - start).toBeLessThan(60_000);
    expectOutcome(attack, answer);
    // and the attacker's own next call finds a clean house
    const next = await wire.send("POST", `${alpha.prefix}/functions/greet/execute`, '{"input":{}}', { "content-type": "application/json", authorization: `Bearer ${alpha.admin.token}` });
    if (next.status !== 200) expect.fail(next.text);
    expect(next.json.said).toBe(alpha.canary);
    if (attack.row === 48) {
      await sleep(500);
      const run = (await alpha.admin.get("/functions/attack/runs?limit=1")).body.items[0];
      const kept = run.logs.map((line: any) => line.text).join("\n");
      expect(kept.length).toBeGreaterThan(10_000);
      expect(kept.length).toBeLessThan(70_000);
    }
  });

  it("all at once, many times, ends none of the neighbour's calls", async () => {
    const worst = attacks.filter((a) => [5, 13, 36, 48, 54, 89].includes(a.row));
    for (const [i, attack] of worst.entries()) await deploy(attack, `attack-${i}`);
    const answers = await besides(Promise.all(Array.from({ length: 48 }, (_, i) => wire.send("GET", `${alpha.prefix}/fn/attack-${i % worst.length}`))));
    for (const [i, answer] of answers.entries())
      if (answer.status === 429 || answer.status === 503) {
        expectProblem(answer, { status: answer.status });
        expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
      } else {
        expectOutcome({ ...worst[i % worst.length], stopped: worst[i % worst.length].row === 48 ? undefined : /./ }, answer);
      }
  });

  it("leaves no sign in what is kept of anybody, and none in the server", async () => {
    const before = await dump(server, ["function_functions", "function_versions", "bus_event"]);
    await deploy(attacks[0]);
    await wire.send("GET", `${alpha.prefix}/fn/attack`);
    expectUnchanged(before, await dump(server, ["function_functions", "function_versions", "bus_event"]));
    expect(server.log).not.toMatch(/AddressSanitizer|runtime error:|Assertion/);
    expect(server.process.exitCode).toBe(null);
  });
});

describe("a page that a function makes", () => {
  it("runs nothing and is of no origin, by path and at the tenant's own host; its author cannot change that", async () => {
    const page = "{ status = 200, headers = { ['content-type'] = 'text/html' }, body = '<script>fetch(\"/\")</script>' }";
    await deploy({ row: 0, name: "", body: `return ${page}` }, "page");
    for (const [host, path] of [["127.0.0.1", `${alpha.prefix}/fn/page`], ["alpha.localhost", "/api/v1/fn/page"]]) {
      const reply = (await raw(server.port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).text;
      expect(reply).toMatch(/^HTTP\/1\.1 200 /);
      const policies = [...reply.matchAll(/^content-security-policy: (.*)\r$/gim)].map((m) => m[1]);
      expect(policies).toEqual(["default-src 'none'; frame-ancestors 'none'; sandbox"]);
      expect(reply).toMatch(/^x-content-type-options: nosniff\r$/im);
    }
    for (const header of ["Content-Security-Policy", "content-security-policy-report-only", "NEL", "Report-To", "X-Frame-Options", "WWW-Authenticate", "Service-Worker-Allowed", "Clear-Site-Data"]) {
      await deploy({ row: 0, name: "", body: `return { status = 200, headers = { ['${header}'] = 'x' }, body = '' }` }, "page");
      expectProblem(await wire.send("GET", `${alpha.prefix}/fn/page`), { status: 500, code: /^function\/reply$/ });
    }
  });
});

describe("the process that forks executors", () => {
  // of the server's children: it is the one
  const zygote = () => {
    const pids = readdirSync(`/proc/${server.process.pid}/task`).flatMap((task) => readFileSync(`/proc/${server.process.pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean));
    expect(pids.length).toBe(1);
    return Number(pids[0]);
  };
  const greet = (of: Furnished) => wire.send("POST", `${of.prefix}/functions/greet/execute`, '{"input":{}}', { "content-type": "application/json", authorization: `Bearer ${of.admin.token}` });
  const restarts = async () => Number(/^apprun_sandbox_restarts_total (\d+)/m.exec((await wire.send("GET", "/metrics")).text)![1]);

  it("is replaced when it is killed: calls of that moment get a 503 that says when to try again, the next ones work", async () => {
    const before = await restarts();
    for (let round = 1; round <= 5; round++) {
      const killed = zygote();
      let over = false;
      const answers: Answer[] = [];
      const callers = Array.from({ length: 16 }, async (_, i) => {
        while (!over) answers.push(await greet(i % 2 ? alpha : beta));
      });
      await sleep(50);
      process.kill(killed, "SIGKILL");
      expect((await wire.send("GET", "/readyz")).status).toBe(200);
      await sleep(300);
      over = true;
      await Promise.all(callers);
      for (const answer of answers)
        if (answer.status !== 200) {
          expectProblem(answer, { status: 503, code: /^sandbox\/lost$/ });
          expect(Number(answer.headers["retry-after"])).toBeGreaterThan(0);
        }
      await sleep(500);
      for (const of of [alpha, beta]) expect((await greet(of)).json.said).toBe(of.canary);
      expect(zygote()).not.toBe(killed);
      expect(await restarts()).toBe(before + round);
    }
    expect(server.log.match(/the zygote has died/g)!.length).toBe(5);
  });
});

describe("a source", () => {
  it("that is none is refused with its line, in every form", async () => {
    const sources: [string, unknown, number[]][] = [
      ["a syntax error", "return function(", [422]],
      ["bytecode", "\u001bLua\u0054\u0000", [400, 422]],
      ["bytecode's mark", "\u001bLuaT", [422]],
      ["100,000 brackets", "(".repeat(100_000), [422]],
      ["100,000 nested functions", "return " + "function() return ".repeat(50_000), [422]],
      ["300 locals", `local ${Array.from({ length: 300 }, (_, i) => `a${i}`).join(",")}`, [422]],
      ["a megabyte and more", `-- ${"x".repeat(1 << 20)}`, [413, 422]],
      ["a goto to nowhere", "goto nowhere", [422]],
      ["no text", 5, [422]],
    ];
    for (const [name, source, status] of sources) {
      const put = await wire.send("PUT", `${alpha.prefix}/functions/broken`, JSON.stringify({ source }), { "content-type": "application/json", authorization: `Bearer ${alpha.admin.token}`, "accept-language": "zh-CN" });
      try {
        expectProblem(put, { status, language: "zh-CN" });
      } catch (error) {
        throw new Error(`${name}: ${error}`);
      }
    }
    expectProblem(await wire.send("GET", `${alpha.prefix}/functions/broken`, undefined, { authorization: `Bearer ${alpha.admin.token}` }), { status: 404 });
  });
});
