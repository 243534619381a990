// The API's description: kept, and never of yesterday.
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Tenant, newTenant } from "./harness/client.js";
import { Server } from "./harness/server.js";

let server: Server, tenant: Tenant;

beforeAll(async () => {
  server = await Server.start();
  tenant = await newTenant(server, "described");
});
afterAll(async () => {
  await server?.stop();
});

const paths = (body: any) => Object.keys(body.paths).filter((path) => path.startsWith("/collections/") && path.endsWith("/records") && !path.includes("{"));

it("has a new collection, a new field and a deletion at once, on every loop", async () => {
  for (let round = 0; round < 5; round++) {
    await Promise.all(Array.from({ length: 8 }, () => tenant.admin.get("/openapi.json"))); // both loops have it
    expect((await tenant.admin.post("/collections", { name: `fresh${round}`, fields: [{ name: "title", type: "text" }] })).status).toBe(201);
    for (const doc of await Promise.all(Array.from({ length: 8 }, () => tenant.admin.get("/openapi.json")))) expect(paths(doc.body)).toContain(`/collections/fresh${round}/records`);
    expect((await tenant.admin.patch(`/collections/fresh${round}`, { fields: [{ name: "more", type: "int" }] })).status).toBe(200);
    for (const doc of await Promise.all(Array.from({ length: 8 }, () => tenant.admin.get("/openapi.json")))) expect(doc.body.components.schemas[`record_fresh${round}`].properties.more).toBeDefined();
    expect((await tenant.admin.delete(`/collections/fresh${round}`)).status).toBe(204);
    for (const doc of await Promise.all(Array.from({ length: 8 }, () => tenant.admin.get("/openapi.json")))) expect(paths(doc.body)).toEqual([]);
  }
});

it("is not sent again to who has it, and each caller has his own", async () => {
  expect((await tenant.admin.post("/collections", { name: "shown", rules: { list: "" } })).status).toBe(201);
  expect((await tenant.admin.post("/collections", { name: "hidden" })).status).toBe(201);
  const member = { email: "member@example.com", password: "correct horse battery" };
  expect((await tenant.admin.post("/auth/users", member)).status).toBe(201);
  const session = await tenant.anyone.post("/auth/login", member);
  expect(session.status, session.text).toBe(200);
  const callers = [tenant.admin, tenant.anyone.as(session.body.accessToken), tenant.anyone];
  const expected = [["/collections/hidden/records", "/collections/shown/records"], ["/collections/shown/records"], []];
  const tags = new Set<string>();
  for (let round = 0; round < 3; round++)
    for (const [i, caller] of callers.entries()) {
      const doc = await caller.get("/openapi.json");
      expect(paths(doc.body).sort()).toEqual(expected[i]);
      const tag = doc.headers.get("etag")!;
      tags.add(tag);
      expect(doc.headers.get("cache-control")).toBe("private, no-cache");
      const again = await caller.get("/openapi.json", { "if-none-match": `"other", W/${tag}` });
      expect(again.status).toBe(304);
      expect(again.text).toBe("");
    }
  expect(tags.size).toBe(3);
});
