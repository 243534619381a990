// What somebody meets who builds a CRM on it in an evening: small things that stood in the way once.
import { afterAll, beforeAll, expect, it } from "vitest";
import { newTenant, type Tenant } from "./harness/client.js";
import { must, problem } from "./harness/expect.js";
import { Server } from "./harness/server.js";

let server: Server, crm: Tenant;

beforeAll(async () => {
  server = await Server.start();
  crm = await newTenant(server, "crm");
  const fields = [{ name: "name", type: "text", required: true, pattern: "^[^<>]{2,80}$" }];
  must(await crm.admin.post("/collections", { name: "companies", fields }), 201);
});
afterAll(async () => {
  await server?.stop();
});

it("names every permission that a role may need", async () => {
  const names = must(await crm.admin.get("/auth/permissions"), 200).items.map((p: any) => p.name);
  for (const name of ["data.records.read", "data.records.write", "functions.call", "storage.objects.read", "workflows.run"])
    expect(names).toContain(name);
});

it("holds a pattern in ^ and $ against the whole text", async () => {
  const path = "/collections/companies/records";
  must(await crm.admin.post(path, { name: "ACME 公司" }), 201);
  expect(problem(await crm.admin.post(path, { name: "<b>" }), 422, "invalid").fields).toMatchObject({ name: { code: "pattern" } });
  problem(await crm.admin.post(path, { name: "x" }), 422, "invalid");
});

it("says once that it preferred to be brief", async () => {
  const reply = await crm.admin.post("/collections/companies/records", { name: "Brief" }, { prefer: "return=minimal" });
  expect(reply.status).toBe(201);
  expect(reply.text).toBe("");
  expect(reply.headers.get("preference-applied")).toBe("return=minimal");
});

it("refuses what a list does not do", async () => {
  for (const list of ["/collections/companies/records", "/auth/users", "/runs"])
    expect(problem(await crm.admin.get(`${list}?expand=x`), 422, "invalid").fields).toMatchObject({ expand: { code: "unknown" } });
});

it("runs a step on records with the rights that the step needs, if who deploys has them", async () => {
  const steps = {
    make: { action: "data.create_record", input: { collection: "companies", data: { name: "${input.name}" } } },
    change: {
      action: "data.update_record",
      depends_on: "make",
      input: { collection: "companies", id: "${steps.make.output.id}", data: { name: "${input.name + '!'}" } },
    },
  };
  must(await crm.admin.put("/workflows/lead", { workflow: "lead", on: "lead.came", steps, output: "${steps.change.output.name}" }), 201);
  const { id } = must(await crm.admin.post("/workflows/lead/runs", { input: { name: "Foo" } }), 201);
  await expect.poll(async () => (await crm.admin.get(`/runs/${id}`)).body.status, { timeout: 120_000 }).not.toBe("running");
  expect((await crm.admin.get(`/runs/${id}`)).body).toMatchObject({ status: "succeeded", output: "Foo!" });

  must(await crm.admin.post("/auth/roles", { name: "builder", permissions: ["workflows.write"] }), 201);
  must(await crm.admin.post("/auth/users", { email: "b@crm.cn", password: "correct horse 1", roles: ["builder"] }), 201);
  const login = must(await crm.anyone.post("/auth/login", { email: "b@crm.cn", password: "correct horse 1" }), 200);
  const builder = crm.anyone.as(login.accessToken);
  problem(await builder.put("/workflows/mine", { workflow: "mine", steps: { make: steps.make } }), 403, "workflow/escalation");
});

it("lists runs newest first, whoever started them", async () => {
  const started: string[] = [];
  const all = async () => (await crm.admin.get("/runs?limit=500")).body.items as any[];
  for (let i = 0; i < 6; i++) {
    const before = (await all()).length;
    if (i % 2) must(await crm.admin.post("/workflows/lead/runs", { input: { name: `By call ${i}` } }), 201);
    else must(await crm.admin.post("/events", { event: "lead.came", data: { name: `By event ${i}` } }), 201);
    await expect.poll(async () => (await all()).length, { timeout: 120_000 }).toBe(before + 1);
    started.unshift(i % 2 ? "call" : "event");
  }
  const causes = (await all()).slice(0, 6).map((run) => (run.cause.event ? "event" : "call"));
  expect(causes).toEqual(started);
  const times = (await all()).map((run) => run.created);
  expect(times).toEqual([...times].sort().reverse());
});

it("keeps a workflow whose runs go on", async () => {
  must(await crm.admin.put("/functions/fails", { source: "return function() error('no') end" }), 201);
  const steps = { a: { action: "functions.execute", function: "fails", retry: { attempts: 50, delay: "60s" } } };
  must(await crm.admin.put("/workflows/long", { workflow: "long", steps }), 201);
  const { id } = must(await crm.admin.post("/workflows/long/runs", {}), 201);
  problem(await crm.admin.delete("/workflows/long"), 409, "workflow/running");
  must(await crm.admin.post(`/runs/${id}/cancel`), 200);
  expect((await crm.admin.delete("/workflows/long")).status).toBe(204);
});

it("tells a stranger of a fault in a function which run it was, not what the code said", async () => {
  const source = "return function() error('the key is s3cret') end";
  must(await crm.admin.put("/functions/leaky", { source, allow: "-" }), 201);
  const { params } = problem(await crm.anyone.get("/fn/leaky"), 500, "function/failed");
  expect(params.message).toBe(`run ${params.run}`);
  expect((await crm.anyone.get("/fn/leaky")).text).not.toContain("s3cret");
  expect((await crm.anyone.post("/functions/leaky/execute", {})).text).not.toContain("s3cret");
  expect(problem(await crm.admin.get("/fn/leaky"), 500, "function/failed").params.message).toContain("s3cret");
});
