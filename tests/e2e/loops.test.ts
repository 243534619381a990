// Functions and workflows that start each other by events, over every way there is. Each circle ends by itself, what
// it did not publish is refused as bus/loop and says which circle it was, and the server goes on as before.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Client } from "./harness/client.js";
import { newTenant } from "./harness/client.js";
import type { Server } from "./harness/server.js";
import { until } from "./harness/wait.js";
import { serve, stores, unserve } from "./security/kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, admin: Client;

  beforeAll(async () => {
    server = await serve(store);
    admin = (await newTenant(server, "alpha")).admin;
  });
  afterAll(() => unserve(server));

  const ok = (reply: { status: number; text: string; body: any }) => {
    if (reply.status >= 300) throw new Error(`${reply.status}: ${reply.text}`);
    return reply.body;
  };
  const events = async (filter: string) => ok(await admin.get(`/events?limit=500&sort=seq&filter=${encodeURIComponent(filter)}`)).items as { event: string; hops: number; traceId: string }[];
  const quiet = async (ask: () => Promise<number>) => {
    // the same number for a second
    let last = -1, since = Date.now();
    return until("the circle ends", async () => {
      const now = await ask();
      if (now !== last) [last, since] = [now, Date.now()];
      return now > 0 && Date.now() - since > 1000 ? now : undefined;
    });
  };
  const metric = async () => Number(/^apprun_bus_loops_total (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1] ?? -1);
  const dead = async (subscription: RegExp) => (ok(await admin.get("/deadletters?limit=500")).items as { subscription: string; error: string }[]).filter((d) => subscription.test(d.subscription));

  it("a function that answers an event with the other one", async () => {
    const before = await metric();
    for (const [name, on, next] of [["ping", "a_ping", "a_pong"], ["pong", "a_pong", "a_ping"]])
      ok(await admin.put(`/functions/${name}`, { source: `return function() apprun.events.publish{event="${next}"} end`, events: [on], permissions: ["events.publish"] }));
    ok(await admin.post("/events", { event: "a_ping" }));
    expect(await quiet(async () => (await events("event ~ 'a_'")).length)).toBe(17);
    const all = await events("event ~ 'a_'");
    expect(all.map((e) => e.hops)).toEqual(Array.from({ length: 17 }, (_, i) => i));
    expect(new Set(all.map((e) => e.traceId)).size).toBe(1);
    const letters = await until("a dead letter", async () => { const d = await dead(/^function\.p[io]ng/); return d.length > 0 ? d : undefined; });
    expect(letters.length).toBe(1);
    expect(letters[0].error).toContain("bus/loop");
    expect(letters[0].error).toContain("a_pong -> a_ping -> a_pong");
    expect(await metric()).toBe(before + 1);
  });

  it("a function that makes a record when one is made", async () => {
    ok(await admin.post("/collections", { name: "echoes", fields: [{ name: "n", type: "int" }] }));
    ok(await admin.put("/functions/echo", { source: `return function(e) apprun.data.create_record{collection="echoes", data={n=1}} end`, events: ["data.record.created"], permissions: ["data.records.write"] }));
    ok(await admin.post("/collections/echoes/records", { n: 0 }));
    const count = async () => ok(await admin.get("/collections/echoes/records?limit=500")).items.length;
    expect(await quiet(count)).toBe(17); // the eighteenth is not made: neither event nor record
    const letters = await until("a dead letter", async () => { const d = await dead(/^function\.echo/); return d.length > 0 ? d : undefined; });
    expect(letters[0].error).toContain("bus/loop");
    ok(await admin.delete("/functions/echo"));
    ok(await admin.post("/collections/echoes/records", { n: 0 })); // nobody started this one
  });

  it("workflows that publish what starts the other, and call functions that do", async () => {
    ok(await admin.put("/functions/helper", { source: `return function(i) apprun.events.publish{event="w_pong"} end`, permissions: ["events.publish"] }));
    ok(await admin.call("PUT", "/workflows/one", JSON.stringify({ on: "w_ping", steps: { say: { service: "function", action: "execute", function: "helper" } } }), { "content-type": "application/json" }));
    ok(await admin.call("PUT", "/workflows/two", JSON.stringify({ on: "w_pong", steps: { say: { action: "events.publish", input: { event: "w_ping" } } } }), { "content-type": "application/json" }));
    ok(await admin.post("/events", { event: "w_ping" }));
    expect(await quiet(async () => (await events("event ~ 'w_'")).length)).toBe(17);
    expect((await events("event ~ 'w_'")).map((e) => e.hops)).toEqual(Array.from({ length: 17 }, (_, i) => i));
    const runs = await until("all runs have ended", async () => {
      const items = ok(await admin.get("/runs?limit=500")).items as { status: string; error: any; workflow: string }[];
      return items.every((r) => r.status !== "running") && items.length >= 17 ? items : undefined;
    });
    expect(runs.length).toBe(17);
    const failed = runs.filter((r) => r.status === "failed");
    expect(failed.length).toBe(1);
    expect(JSON.stringify(failed[0].error)).toContain("w_pong -> w_ping -> w_pong");
  });

  it("a workflow started by the ends of another, and a step that waits long", async () => {
    // x ends -> y -> y ends -> x: the events are the engine's own, and a run ends all the same
    const step = { steps: { a: { action: "i18n.get_locales" } } };
    for (const name of ["x", "y"])
      ok(await admin.call("PUT", `/workflows/${name}`, JSON.stringify({ ...step, on: "workflow.run.finished" }), { "content-type": "application/json" }));
    ok(await admin.post("/workflows/x/runs", {}));
    const count = async () => (ok(await admin.get("/runs?limit=500&filter=" + encodeURIComponent("workflow = 'x' || workflow = 'y'"))).items as any[]).length;
    expect(await quiet(count)).toBe(18); // 17 ends told of; the run that the last of them started ends in silence
    const items = ok(await admin.get("/runs?limit=500&filter=" + encodeURIComponent("workflow = 'x' || workflow = 'y'"))).items as { status: string }[];
    expect(items.every((r) => r.status === "succeeded")).toBe(true);
  });
});
