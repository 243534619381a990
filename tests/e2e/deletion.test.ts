// A tenant is deleted while its functions run, over HTTP, for events and in a workflow: their calls end, nobody new
// gets in, and the operator has the answer long before a function would have ended by itself.
import { afterAll, beforeAll, expect, it } from "vitest";
import { newTenant, platform } from "./harness/client.js";
import { Server } from "./harness/server.js";
import { until } from "./harness/wait.js";

let server: Server;
beforeAll(async () => void (server = await Server.start({})));
afterAll(() => server.stop());

it("deletes a tenant whose functions are at work", async () => {
  const { admin } = await newTenant(server, "busy");
  const source = "return function() local x = 0 while true do x = x + 1 end end";
  expect((await admin.put("/functions/spin", { source, limits: { cpuMs: 30000, wallMs: 60000 }, events: ["go"] })).status).toBe(201);
  expect((await admin.call("PUT", "/workflows/w", JSON.stringify({ steps: { a: { service: "function", action: "execute", function: "spin" } } }), { "content-type": "application/json" })).status).toBe(201);
  const calls = Array.from({ length: 6 }, () => admin.post("/fn/spin", {}));
  for (let i = 0; i < 3; i++) expect((await admin.post("/events", { event: "go" })).status).toBe(201);
  expect((await admin.post("/workflows/w/runs", {})).status).toBe(201);
  const executors = async () => Number(/^apprun_executors (\d+)/m.exec(await (await fetch(`${server.url}/metrics`)).text())![1]);
  await until("the functions run", async () => (await executors()) >= 2);
  const start = Date.now();
  const gone = await platform(server).delete("/tenants/busy");
  expect(gone.status, gone.text).toBe(204);
  expect(Date.now() - start).toBeLessThan(25_000); // by itself a function ends after thirty seconds of CPU
  for (const call of await Promise.all(calls)) expect(call.status).toBeGreaterThanOrEqual(400);
  expect((await admin.get("/auth/me")).status).toBe(404);
  // the name is free at once, and its functions run
  const again = await newTenant(server, "busy");
  expect((await again.admin.put("/functions/fine", { source: "return function() return 42 end" })).status).toBe(201);
  expect((await again.admin.post("/fn/fine", {})).text).toBe("42");
  await until("no executor is left over", async () => (await executors()) <= 2);
});
