// storage over real sockets: bytes out as they went in, ranges, conditions, keys that try to leave, limits under
// load, kill -9 in the middle of puts, tenants that go with their files.
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Client, newTenant, platform, type Tenant } from "./harness/client.js";
import { must, problem } from "./harness/expect.js";
import { Random } from "./harness/random.js";
import { Server } from "./harness/server.js";
import { eachOf, until } from "./harness/wait.js";

let server: Server;

beforeAll(async () => {
  server = await Server.start();
});

afterAll(async () => {
  await server?.stop();
});

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const object = (bucket: string, key: string) => `/buckets/${bucket}/objects/${key.split("/").map(encodeURIComponent).join("/")}`;
const bytesOf = async (client: Client, path: string, headers: Record<string, string> = {}) => {
  const reply = await fetch(client.base + path, { headers: { authorization: `Bearer ${client.token}`, ...headers } });
  return { reply, bytes: new Uint8Array(await reply.arrayBuffer()) };
};
const blobs = (s: Server, tenant: string): string[] => {
  const folder = join(s.data, "blobs", tenant);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((part) => readdirSync(join(folder, part)).map((name) => join(folder, part, name)));
};

describe("an object", () => {
  it("comes back byte for byte, whole and in parts", async () => {
    const { admin } = await newTenant(server, "bytes");
    must(await admin.post("/buckets", { bucket: "b" }), 201);
    for (const size of [0, 1, 4095, 65536, 5_000_001, 15_000_000]) {
      const bytes = randomBytes(size);
      const path = object("b", `ordner/${size} 中文 é.bin`);
      const put = must(await admin.put(path, bytes, { "content-type": "application/x-test" }), 201);
      expect(put).toMatchObject({ size, sha256: sha256(bytes), type: "application/x-test" });
      const { reply, bytes: back } = await bytesOf(admin, path);
      expect(reply.status).toBe(200);
      expect(reply.headers.get("content-type")).toBe("application/x-test");
      expect(reply.headers.get("etag")).toBe(`"${sha256(bytes)}"`);
      expect(reply.headers.get("x-content-type-options")).toBe("nosniff");
      expect(sha256(back)).toBe(sha256(bytes));
      const head = await fetch(admin.base + path, { method: "HEAD", headers: { authorization: `Bearer ${admin.token}` } });
      expect(head.status).toBe(200);
      expect(head.headers.get("content-length")).toBe(String(size));
    }
    const size = 5_000_001;
    const path = object("b", `ordner/${size} 中文 é.bin`);
    const { bytes: all } = await bytesOf(admin, path);
    const random = new Random(7);
    for (let i = 0; i < 40; i++) {
      const from = random.below(size), to = from + random.below(size - from);
      const { reply, bytes } = await bytesOf(admin, path, { range: `bytes=${from}-${to}` });
      expect(reply.status).toBe(206);
      expect(reply.headers.get("content-range")).toBe(`bytes ${from}-${to}/${size}`);
      expect(Buffer.compare(bytes, all.subarray(from, to + 1))).toBe(0);
    }
    const past = await admin.get(path, { range: `bytes=${size}-` });
    problem(past, 416, "range-not-satisfiable");
    expect(past.headers.get("content-range")).toBe(`bytes */${size}`);
  });

  it("changes under conditions only, when they are given", async () => {
    const { admin } = await newTenant(server, "conditions");
    must(await admin.post("/buckets", { bucket: "b" }), 201);
    const path = object("b", "k");
    const first = await admin.put(path, "one", { "if-none-match": "*" });
    must(first, 201);
    const etag = first.headers.get("etag")!;
    problem(await admin.put(path, "two", { "if-none-match": "*" }), 412, "precondition-failed");
    const same = await admin.get(path, { "if-none-match": etag });
    must(same, 304);
    expect(same.text).toBe("");
    must(await admin.put(path, "two", { "if-match": etag }), 200);
    problem(await admin.put(path, "three", { "if-match": etag }), 412, "precondition-failed");
    must(await admin.get(path, { "if-none-match": etag }), 200);
    // ten who saw the same: one writes
    const seen = (await admin.get(path)).headers.get("etag")!;
    const replies = await Promise.all(Array.from({ length: 10 }, (_, i) => admin.put(path, `by ${i}`, { "if-match": seen })));
    expect(replies.map((r) => r.status).sort()).toEqual([200, ...Array(9).fill(412)]);
    // a key makes a put happen once
    const key = { "idempotency-key": "k1" };
    must(await admin.put(object("b", "once"), "x", key), 201);
    const again = await admin.put(object("b", "once"), "x", key);
    must(again, 201);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    problem(await admin.put(object("b", "once"), "y", key), 422, "action/key-reused");
  });
});

describe("keys", () => {
  // sent as they are: clients tidy paths up
  const raw = (path: string, token: string) =>
    new Promise<string>((done, fail) => {
      const socket = connect(server.port, "127.0.0.1");
      let text = "";
      socket.on("data", (part) => (text += part));
      socket.on("end", () => done(text));
      socket.on("error", fail);
      socket.end(`PUT ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${token}\r\nconnection: close\r\ncontent-length: 4\r\n\r\nevil`);
    });

  it("never become paths", async () => {
    const { admin } = await newTenant(server, "climbing");
    must(await admin.post("/buckets", { bucket: "b" }), 201);
    const before = readdirSync(server.data).sort();
    const keys = ["../../../evil", "..%2f..%2f..%2fevil", "%2e%2e/%2e%2e/evil", "..%5c..%5cevil", "/etc/passwd", "%2fetc%2fpasswd", "....//....//evil", "a/%2e%2e/evil", "evil%00.txt", "CON", "a%0d%0aset-cookie:x", "%ff%fe", "~/.ssh/authorized_keys", "$(touch evil)", "x".repeat(1024)];
    for (const key of keys) {
      const reply = await raw(`/t/climbing/api/v1/buckets/b/objects/${key}`, admin.token!);
      expect(reply, key).toMatch(/^HTTP\/1\.1 (200|201|400|404|422) /);
      expect(reply.toLowerCase()).not.toContain("\nset-cookie");
    }
    const stored = must(await admin.get("/buckets/b/objects?limit=100"), 200).items;
    expect(stored.length).toBeGreaterThan(3);
    expect(readdirSync(server.data).sort()).toEqual(before);
    for (const path of blobs(server, "climbing")) expect(path).toMatch(/blobs\/climbing\/[0-9a-f]{2}\/[0-9a-f-]{36}$/);
    expect(blobs(server, "climbing").length).toBe(stored.length);
  });
});

describe("limits", () => {
  it("hold under load, to the byte", async () => {
    const { admin } = await newTenant(server, "limits");
    must(await admin.post("/buckets", { bucket: "b", maxObjects: 25, maxBytes: 2300, maxSize: 150 }), 201);
    const statuses = new Map<number, number>();
    const random = new Random(3);
    const jobs = Array.from({ length: 400 }, () => ({ key: `k${random.below(60)}`, size: random.below(160), gone: random.below(5) === 0 }));
    await eachOf(jobs, 32, async ({ key, size, gone }) => {
      const reply = gone ? await admin.delete(object("b", key)) : await admin.put(object("b", key), randomBytes(size));
      statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
      expect([200, 201, 204, 404, 409, 413], reply.text).toContain(reply.status);
    });
    const bucket = must(await admin.get("/buckets/b"), 200);
    const items = must(await admin.get("/buckets/b/objects?limit=500"), 200).items;
    expect(bucket.objects).toBe(items.length);
    expect(bucket.bytes).toBe(items.reduce((sum: number, o: any) => sum + o.size, 0));
    expect(bucket.objects).toBeLessThanOrEqual(25);
    expect(bucket.bytes).toBeLessThanOrEqual(2300);
    expect(statuses.get(409)).toBeGreaterThan(0);
    await until("replaced and refused bytes are deleted", () => blobs(server, "limits").length === items.length);
  });
});

describe("kill -9 in the middle of puts", () => {
  it("leaves every object whole, and what was acknowledged there", async () => {
    const own = await Server.start();
    const content = (n: number) => createHash("sha512").update(String(n)).digest().toString("hex").repeat(1 + (n % 3000));
    const acknowledged = new Map<string, number>();
    let n = 0;
    try {
      const tenant: Tenant = await newTenant(own, "killed");
      must(await tenant.admin.post("/buckets", { bucket: "b" }), 201);
      for (let round = 0; round < 8; round++) {
        let down = false, stored = 0;
        const writers = Array.from({ length: 6 }, async (_, w) => {
          while (!down) {
            const key = `w${w}-${n % 7}`, mine = ++n;
            try {
              const reply = await tenant.admin.put(object("b", key), content(mine));
              if (reply.status === 200 || reply.status === 201) acknowledged.set(key, mine), stored++;
            } catch {
              await sleep(5);
            }
          }
        });
        await sleep(150 + round * 40);
        await until("some are stored", () => stored >= 6); // on a slow machine, too
        await own.kill("SIGKILL");
        down = true;
        await Promise.all(writers);
        await own.up();
        const items = must(await tenant.admin.get("/buckets/b/objects?limit=500"), 200).items;
        for (const item of items) {
          const { reply, bytes } = await bytesOf(tenant.admin, object("b", item.key));
          expect(reply.status).toBe(200);
          expect(bytes.length).toBe(item.size);
          expect(sha256(bytes)).toBe(item.sha256);
        }
        const keys = items.map((i: any) => i.key);
        for (const key of acknowledged.keys()) expect(keys).toContain(key);
      }
      expect(acknowledged.size).toBeGreaterThan(10);
      // after the kills nobody writes: what was acknowledged last is what is there, or what came after it
      const bucket = must(await tenant.admin.get("/buckets/b"), 200);
      expect(bucket.objects).toBe(must(await tenant.admin.get("/buckets/b/objects?limit=500"), 200).items.length);
      for (const path of blobs(own, "killed")) if (!path.endsWith(".tmp")) expect(statSync(path).size % 128).toBe(0);
    } finally {
      await own.stop();
    }
  });
});

describe("a tenant", () => {
  it("sees nothing of another's, and takes its files along when it goes", async () => {
    const a = await newTenant(server, "leaving"), b = await newTenant(server, "staying");
    for (const t of [a, b]) {
      must(await t.admin.post("/buckets", { bucket: "shared-name", rules: { read: "" } }), 201);
      must(await t.admin.put(object("shared-name", "k"), `of ${t.name}`), 201);
    }
    expect((await a.anyone.get(object("shared-name", "k"))).text).toBe("of leaving");
    expect((await b.anyone.get(object("shared-name", "k"))).text).toBe("of staying");
    problem(await a.anyone.as(b.admin.token).get(object("shared-name", "k")), 401, "unauthorized");
    must(await platform(server).delete("/tenants/leaving"), 204);
    expect(blobs(server, "leaving")).toEqual([]);
    expect(existsSync(join(server.data, "blobs", "leaving"))).toBe(false);
    problem(await a.anyone.get(object("shared-name", "k")), 404, "tenant/unknown");
    expect((await b.anyone.get(object("shared-name", "k"))).text).toBe("of staying");
  });
});
