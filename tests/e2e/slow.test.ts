// A client that does not read its reply keeps the request's memory for as long as it likes. Meanwhile its
// tenant is deleted, or the server stops: neither may end the process, and neither has to wait for it.
import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { newTenant, platform, type Tenant } from "./harness/client.js";
import { Server } from "./harness/server.js";
import { until } from "./harness/wait.js";

let server: Server;
let tenant: Tenant;
let reader: Socket;

beforeEach(async () => {
  server = await Server.start({ args: ["--stop-ms", "500"] });
  tenant = await newTenant(server, "acme");
  const made = await tenant.admin.post("/collections", { name: "pages", fields: [{ name: "text", type: "text", max: 500_000 }] });
  expect(made.status, made.text).toBe(201);
  for (let i = 0; i < 24; i++) {
    const page = await tenant.admin.post("/collections/pages/records", { text: "x".repeat(500_000) });
    expect(page.status, page.text.slice(0, 200)).toBe(201);
  }
  reader = connect(server.port, "127.0.0.1");
  reader.on("error", () => {});
  const path = "/t/acme/api/v1/collections/pages/records";
  reader.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tenant.admin.token}\r\n\r\n`);
  const first = await new Promise<Buffer>((done) => reader.once("data", done));
  reader.pause();
  expect(first.toString("latin1", 0, 12)).toBe("HTTP/1.1 200");
});

afterEach(async () => {
  reader.destroy();
  await server.stop();
});

it("a tenant can be deleted under a client that does not read", async () => {
  const gone = await platform(server).delete("/tenants/acme");
  expect(gone.status, gone.text).toBe(204);
  expect((await tenant.admin.get("/auth/me")).status).toBe(404);
  const again = await newTenant(server, "acme");
  expect((await again.admin.get("/collections/pages")).status).toBe(404);
  reader.resume(); // it gets what was promised to it
  let bytes = 0;
  reader.on("data", (piece) => (bytes += piece.length));
  await until("the whole reply", () => bytes > 11_000_000);
});

it("the server stops under a client that does not read", async () => {
  expect(await server.kill("SIGTERM"), server.log.slice(-4000)).toBe(0);
});
