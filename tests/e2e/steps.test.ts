// Every action of every module is a step of a workflow; the few that are none say so when the workflow is deployed.
import { afterAll, beforeAll, expect, it } from "vitest";
import { newTenant, type Tenant } from "./harness/client.js";
import { must, problem } from "./harness/expect.js";
import { Server } from "./harness/server.js";

let server: Server, tenant: Tenant;

beforeAll(async () => {
  server = await Server.start();
  tenant = await newTenant(server, "steps");
});
afterAll(async () => {
  await server?.stop();
});

it("takes each action that the tenant's document names, but those that speak HTTP or answer with secrets", async () => {
  const doc = must(await tenant.admin.get("/openapi.json"), 200);
  const operations = Object.values<any>(doc.paths).flatMap((path) => Object.values<any>(path));
  const actions = [...new Set<string>(operations.map((o) => o["x-apprun-action"]).filter(Boolean))].sort();
  const none: string[] = [], odd: string[] = [];

  for (const action of actions) {
    const reply = await tenant.admin.put("/workflows/probe", { workflow: "probe", steps: { only: { action } } });
    if (reply.status === 422 && reply.body.code === "action/face") none.push(action);
    else if (reply.status >= 300) odd.push(`${action}: ${reply.text}`);
  }
  expect(odd).toEqual([]);
  expect(none).toEqual(["auth.create_key", "auth.login", "auth.logout", "auth.refresh", "auth.signup", "core.openapi", "functions.call", "workflows.post"]);
  expect(new Set(actions.map((a) => a.split(".")[0]))).toEqual(
    new Set(["auth", "core", "data", "events", "functions", "i18n", "notify", "storage", "workflows"]),
  );
});

it("names the action that there is none of", async () => {
  problem(await tenant.admin.put("/workflows/probe", { workflow: "probe", steps: { only: { action: "data.guess" } } }), 404, "action/unknown");
});
