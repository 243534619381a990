// HTTP itself, on raw sockets: forms that two readers could read differently, clients that are slow on purpose,
// floods over HTTP/2. The sender is refused and let go; everybody else is served meanwhile.
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Server } from "../harness/server.js";
import { type Furnished, Wire, expectProblem, forAll, furnish, median, opened, raw, replies } from "./kit.js";

let server: Server, tenant: Furnished, wire: Wire;

beforeAll(async () => {
  server = await Server.start();
  tenant = await furnish(server, "alpha");
  wire = new Wire(server);
});

afterAll(async () => {
  await wire?.close();
  await server?.stop();
});

function expectRefused(text: string, status: number[], name: string): void {
  const all = replies(text);
  if (all.length !== 1) expect.fail(`${name}: ${all.length} replies: ${text}`);
  const [reply] = all;
  const headers = Object.fromEntries(reply.head.split("\r\n").slice(1).map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 2)]));
  expect(headers.connection, name).toBe("close");
  expectProblem({ status: reply.status, headers, text: reply.body, json: JSON.parse(Buffer.from(reply.body, "latin1").toString("utf8")) }, { status });
}

describe("a request that can be read in two ways", () => {
  const post = "POST /t/alpha/api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
  const smuggled = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
  const rows: [string, string, number?][] = [
    ["two lengths that differ", `${post}Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}`],
    ["two lengths that agree", `${post}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`],
    ["a list of lengths", `${post}Content-Length: 2, 2\r\n\r\n{}`],
    ["a length and a coding", `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["a coding and a length", `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`],
    ["two codings", `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["an unknown coding", `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 501],
    ["a coding in a list", `${post}Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n`, 501],
    ["a coding that is not last", `${post}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`, 501],
    ["a coding with a vertical tab", `${post}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
    ["a coding in quotes", `${post}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 501],
    ["a space before the colon", `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
    ["a folded coding", `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 501],
    ["a folded line", `${post}X-A: b\r\n c\r\nContent-Length: 0\r\n\r\n`],
    ["a coding in HTTP/1.0", `${post.replace("HTTP/1.1", "HTTP/1.0")}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ...["+2", "-2", "0x2", "2.0", "2e0", "", "two", "2 2", "\u00b2", "2;"].map((n): [string, string] => [`a length of "${n}"`, `${post}Content-Length: ${n}\r\n\r\n{}`]),
    ["a length beyond 64 bits", `${post}Content-Length: 18446744073709551618\r\n\r\n{}`, 413],
    ["a length over the limit", `${post}Content-Length: 999999999999\r\n\r\n{}`, 413],
    ["no host", "GET /livez HTTP/1.1\r\n\r\n"],
    ["two hosts", "GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"],
    ...["a b", "a@b", "a/b", "a,b", "a:b", "a:99999", "[::1", "", "a\\b", '"a"', "a#b", "é"].map((h): [string, string] => [`the host "${h}"`, `GET /livez HTTP/1.1\r\nHost: ${h}\r\n\r\n`]),
    ["another host in the target", "GET http://a.example/livez HTTP/1.1\r\nHost: b.example\r\n\r\n"],
    ["a target that is no path", "GET livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["another scheme", "GET ftp://x/livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a fragment", "GET /livez#a HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a space in the target", "GET /li vez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a tab for a space", "GET\t/livez\tHTTP/1.1\r\nHost: x\r\n\r\n"],
    ["two spaces", "GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a space at the end of the line", "GET /livez HTTP/1.1 \r\nHost: x\r\n\r\n"],
    ["a NUL in the target", "GET /li\0vez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["bare LF everywhere", "GET /livez HTTP/1.1\nHost: x\n\n"],
    ["bare LF after the request line", "GET /livez HTTP/1.1\nHost: x\r\n\r\n"],
    ["bare LF in a header", "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\nX-C: d\r\n\r\n"],
    ["bare CR in a header", "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\rX-C: d\r\n\r\n"],
    ["a NUL in a header", "GET /livez HTTP/1.1\r\nHost: x\r\nX-A: b\0c\r\n\r\n"],
    ["a header without a colon", "GET /livez HTTP/1.1\r\nHost: x\r\nX-A\r\n\r\n"],
    ["a header without a name", "GET /livez HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n"],
    ["a space in a name", "GET /livez HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n"],
    ["a first header that is folded", "GET /livez HTTP/1.1\r\n Host: x\r\nHost: x\r\n\r\n"],
    ["a name beyond ASCII", "GET /livez HTTP/1.1\r\nHost: x\r\nX-\u00c4: b\r\n\r\n"],
    ["HTTP/0.9", "GET /livez\r\n\r\n"],
    ["HTTP/2.0", "GET /livez HTTP/2.0\r\nHost: x\r\n\r\n", 505],
    ["HTTP/1.2", "GET /livez HTTP/1.2\r\nHost: x\r\n\r\n", 505],
    ["http/1.1", "GET /livez http/1.1\r\nHost: x\r\n\r\n"],
    ["HTTP/1.10", "GET /livez HTTP/1.10\r\nHost: x\r\n\r\n"],
    ["CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", 501],
    ["a method of odd characters", "GE(T /livez HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an expectation", `${post}Expect: 200-maybe\r\nContent-Length: 2\r\n\r\n{}`, 417],
    ["a target of 9 KiB", `GET /${"a".repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414],
    ["a head of 40 KiB", `GET /livez HTTP/1.1\r\nHost: x\r\nX-A: ${"a".repeat(40_000)}\r\n\r\n`, 431],
    ["1,000 headers", `GET /livez HTTP/1.1\r\nHost: x\r\n${"X-A: b\r\n".repeat(1000)}\r\n`, 431],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["SSH", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
    ["noise", "\xff\xfe\xfd\xfc\r\n\r\n"],
  ];
  const chunks: [string, string][] = [
    ["no hexadecimal size", "x\r\n"],
    ["a negative size", "-1\r\n"],
    ["a size with a sign", "+2\r\n{}\r\n0\r\n\r\n"],
    ["a size with 0x", "0x2\r\n{}\r\n0\r\n\r\n"],
    ["an empty size", "\r\n{}\r\n0\r\n\r\n"],
    ["a size beyond 64 bits", "10000000000000002\r\n{}\r\n0\r\n\r\n"],
    ["a space before the size", " 2\r\n{}\r\n0\r\n\r\n"],
    ["bare LF after the size", "2\n{}\n0\n\n"],
    ["bare LF after the data", "2\r\n{}\n0\r\n\r\n"],
    ["no line end after the data", "2\r\n{}0\r\n\r\n"],
    ["bare CR in an extension", "2;a\rb\r\n{}\r\n0\r\n\r\n"],
    ["bare LF in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n"],
    ["a NUL in an extension", "2;a\0b\r\n{}\r\n0\r\n\r\n"],
    ["a trailer without a colon", "2\r\n{}\r\n0\r\nX-A\r\n\r\n"],
    ["a folded trailer", "2\r\n{}\r\n0\r\nX-A: b\r\n c\r\n\r\n"],
  ];

  it("is refused, the connection closed, and what follows on it never run", async () => {
    const work = [...rows, ...chunks.map(([name, body]): [string, string] => [`a chunk with ${name}`, `${post}Transfer-Encoding: chunked\r\n\r\n${body}`])];
    await forAll(
      work,
      async ([name, bytes, status]) => {
        const answer = await raw(server.port, Buffer.from(bytes + smuggled, "latin1"), { ms: 10_000 });
        if (!answer.closed) expect.fail(`left open: ${answer.text}`);
        expectRefused(answer.text, [status ?? 400], name);
        expect(answer.text).not.toContain('{"status":"ok"}');
      },
      ([name]) => name,
    );
  });

  it("is not made out of one that is right: bodies are bodies", async () => {
    const inner = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    const answer = await raw(server.port, `${post}Content-Length: ${inner.length}\r\n\r\n${inner}GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(replies(answer.text).map((r) => r.status)).toEqual([400, 200]);
    const chunked = await raw(server.port, `${post}Transfer-Encoding: chunked\r\n\r\n${inner.length.toString(16)};a=b\r\n${inner}\r\n0\r\nX-Trailer: Content-Length: 100\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(replies(chunked.text).map((r) => r.status)).toEqual([400, 200]);
    // a body with GET, which hardly anybody sends, is still a body
    const get = await raw(server.port, `GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\n\r\n${inner}GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(replies(get.text).length).toBe(2);
  });

  it("is told from requests in a row: each has its own answer, in order", async () => {
    const one = (path: string, more = "") => `GET ${path} HTTP/1.1\r\nHost: x\r\n${more}\r\n`;
    const paths = Array.from({ length: 50 }, (_, i) => (i % 3 === 0 ? "/livez" : i % 3 === 1 ? "/t/alpha/api/v1/auth/me" : "/nothing"));
    const answer = await raw(server.port, paths.map((p) => one(p)).join("") + one("/livez", "Connection: close\r\n"), { ms: 20_000 });
    expect(replies(answer.text).map((r) => r.status)).toEqual([...paths.map((_, i) => [200, 401, 404][i % 3]), 200]);
    // split at every byte
    const socket = await opened(server.port);
    let text = "";
    socket.on("data", (part) => (text += part.toString("latin1")));
    const ended = new Promise((done) => socket.once("close", done));
    for (const byte of Buffer.from(one("/livez") + one("/livez", "Connection: close\r\n"))) {
      socket.write(Buffer.from([byte]));
      await new Promise((next) => setImmediate(next));
    }
    await ended;
    expect(replies(text).map((r) => r.status)).toEqual([200, 200]);
  });
});

// ---- HTTP/2 by hand ----

const frame = (type: number, flags: number, stream: number, payload: Buffer | string = ""): Buffer => {
  const body = Buffer.from(payload as any);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
};
const literal = (index: number, text: string) => Buffer.concat([Buffer.from([index, text.length]), Buffer.from(text)]);
const headersOf = (path: string) => Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x04, path), literal(0x01, "x")]);
const preface = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)]);
const [HEADERS, PRIORITY, RST, SETTINGS, PING, WINDOW, CONTINUATION] = [1, 2, 3, 4, 6, 8, 9];
const u32 = (n: number) => { const b = Buffer.alloc(4); b.writeUInt32BE(n >>> 0); return b; };

interface Frames { list: { type: number; flags: number; stream: number; payload: Buffer }[]; closed: boolean }

function speak(parts: Buffer[], ms = 120_000, told?: (frames: Frames) => boolean): Promise<Frames> {
  return new Promise((done) => {
    let data = Buffer.alloc(0);
    const frames: Frames = { list: [], closed: false };
    opened(server.port).then(async (socket: Socket) => {
      const finish = (closed: boolean) => { clearTimeout(timer); frames.closed = closed; socket.destroy(); done(frames); };
      const timer = setTimeout(() => finish(false), ms);
      socket.on("data", (part: Buffer) => {
        data = Buffer.concat([data, part]);
        while (data.length >= 9 && data.length >= 9 + data.readUIntBE(0, 3)) {
          const n = data.readUIntBE(0, 3);
          frames.list.push({ type: data[3], flags: data[4], stream: data.readUInt32BE(5) & 0x7fffffff, payload: data.subarray(9, 9 + n) });
          data = data.subarray(9 + n);
        }
        if (told?.(frames)) finish(false);
      });
      socket.on("error", () => {});
      socket.on("close", () => finish(true));
      socket.write(preface);
      // in pieces, so that what it says is read before the connection's end takes it away
      for (let i = 0; i < parts.length && !socket.destroyed && !frames.list.some((f) => f.type === 7); i += 250) {
        socket.write(Buffer.concat(parts.slice(i, i + 250)));
        await sleep(10);
      }
    });
  });
}

// Somebody who means well, all the while.
async function servedMeanwhile<T>(work: Promise<T>): Promise<T> {
  let over = false;
  const times: number[] = [];
  const client = (async () => {
    while (!over) {
      const start = Date.now();
      const answer = await wire.send("GET", `${tenant.prefix}/auth/me`, undefined, { authorization: `Bearer ${tenant.admin.token}` });
      times.push(Date.now() - start);
      expect(answer.status).toBe(200);
      await sleep(20);
    }
  })();
  try {
    return await work;
  } finally {
    over = true;
    await client;
    expect(median(times)).toBeLessThan(500);
    expect(Math.max(...times)).toBeLessThan(30_000);
  }
}

describe("a flood over HTTP/2", () => {
  const streams = (n: number, make: (id: number) => Buffer[]) => Array.from({ length: n }, (_, i) => Buffer.concat(make(2 * i + 1)));
  const open = (id: number) => frame(HEADERS, 0x5, id, headersOf("/livez"));
  const floods: [string, () => Buffer[]][] = [
    ["of streams that are reset", () => streams(20_000, (id) => [open(id), frame(RST, 0, id, u32(8))])],
    ["of streams that break the window", () => streams(20_000, (id) => [frame(HEADERS, 0x4, id, headersOf("/livez")), frame(WINDOW, 0, id, u32(0x7fffffff))])],
    ["of streams with an update of zero", () => streams(20_000, (id) => [frame(HEADERS, 0x4, id, headersOf("/livez")), frame(WINDOW, 0, id, u32(0))])],
    ["of streams that depend on themselves", () => streams(20_000, (id) => [frame(HEADERS, 0x25, id, Buffer.concat([u32(id), Buffer.from([1]), headersOf("/livez")]))])],
    ["of pings", () => Array.from({ length: 20_000 }, () => frame(PING, 0, 0, Buffer.alloc(8)))],
    ["of settings", () => Array.from({ length: 20_000 }, () => frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff])))],
    ["of priorities", () => Array.from({ length: 20_000 }, (_, i) => frame(PRIORITY, 0, 2 * i + 1, Buffer.concat([u32(0), Buffer.from([1])])))],
    ["of empty data", () => [frame(HEADERS, 0x4, 1, headersOf("/livez")), ...Array.from({ length: 20_000 }, () => frame(0, 0, 1))]],
    ["of continuations without an end", () => [frame(HEADERS, 0x1, 1, headersOf("/livez")), ...Array.from({ length: 20_000 }, () => frame(CONTINUATION, 0, 1, Buffer.concat([Buffer.from([0x00, 3]), Buffer.from("x-a"), Buffer.from([4]), Buffer.from("bbbb")])))]],
    ["of empty continuations", () => [frame(HEADERS, 0x1, 1, headersOf("/livez")), ...Array.from({ length: 20_000 }, () => frame(CONTINUATION, 0, 1))]],
  ];

  it.each(floods)("%s: it ends its connection with GOAWAY, early, and nobody else notices", async (_name, make) => {
    const parts = make();
    const started = async () => Number(/^apprun_http_requests_total (\d+)/m.exec((await wire.send("GET", "/metrics")).text)![1]);
    let goaway: Frames["list"] = [], before = 0;
    // a server that is slower than we write may close before its last word is read: then once more
    for (let i = 0; i < 20 && goaway.length === 0; i++) {
      before = await started();
      const frames = await servedMeanwhile(speak(parts));
      expect(frames.closed).toBe(true);
      goaway = frames.list.filter((f) => f.type === 7);
    }
    expect(goaway.length).toBe(1);
    expect([1, 11], `code ${goaway[0].payload.readUInt32BE(4)}`).toContain(goaway[0].payload.readUInt32BE(4)); // PROTOCOL_ERROR, ENHANCE_YOUR_CALM
    // of 20,000 a few hundred were begun
    expect((await started()) - before).toBeLessThan(2000);
  });

  it("of one header named 15,000 times is refused, and costs no memory to speak of", async () => {
    // 4 KB into the table once, then one byte for each use of it
    const big = Buffer.concat([Buffer.from([0x40, 3]), Buffer.from("x-a"), Buffer.from([0x7f, 0x81, 0x1e]), Buffer.from("b".repeat(0x7f + 0x1e * 128 + 1 - 0x7f + 0x7f))]);
    const block = Buffer.concat([headersOf("/livez"), big, Buffer.alloc(15_000, 0xbe)]);
    const cut = Array.from({ length: Math.ceil(block.length / 16_000) }, (_, i) => block.subarray(i * 16_000, (i + 1) * 16_000));
    const bomb = (id: number) => cut.map((part, i) => frame(i === 0 ? HEADERS : CONTINUATION, (i === 0 ? 0x1 : 0) | (i === cut.length - 1 ? 0x4 : 0), id, part));
    const frames = await servedMeanwhile(speak(Array.from({ length: 20 }, (_, i) => Buffer.concat(bomb(2 * i + 1)))));
    expect(frames.closed).toBe(true);
    expect(frames.list.filter((f) => f.type === HEADERS && f.payload[0] === 0x88).length).toBe(0); // never a 200
  });

  it("is not what an honest client does: 1,000 requests, ten of them given up", async () => {
    const { connect } = await import("node:http2");
    const session = connect(server.url);
    const statuses = await Promise.all(
      Array.from({ length: 1000 }, async (_, i) => {
        await sleep(i); // a few at a time
        return new Promise<number>((done, fail) => {
          const request = session.request({ ":path": "/livez" });
          request.on("response", (headers) => { done(Number(headers[":status"])); request.resume(); });
          request.on("error", fail);
          if (i % 100 === 7) { request.close(8); done(0); }
        });
      }),
    );
    session.close();
    expect(statuses.filter((s) => s === 200).length).toBe(990);
  });

  it("and odd heads over HTTP/2 are refused as over HTTP/1.1", async () => {
    const heads: [string, Buffer][] = [
      ["no path", Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x01, "x")])],
      ["an empty path", Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x04, ""), literal(0x01, "x")])],
      ["a path without a slash", Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x04, "livez"), literal(0x01, "x")])],
      ["a path with a space", Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x04, "/li vez"), literal(0x01, "x")])],
      ["a path with a line end", Buffer.concat([Buffer.from([0x82, 0x86]), literal(0x04, "/a HTTP/1.1\r\nX: y"), literal(0x01, "x")])],
      ["an upper case name", Buffer.concat([headersOf("/livez"), Buffer.from([0x00]), Buffer.from([3]), Buffer.from("X-A"), Buffer.from([1]), Buffer.from("b")])],
      ["a line end in a value", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 3]), Buffer.from("x-a"), Buffer.from([6]), Buffer.from("b\r\nc:d")])],
      ["a NUL in a value", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 3]), Buffer.from("x-a"), Buffer.from([3]), Buffer.from("b\0c")])],
      ["a coding", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 17]), Buffer.from("transfer-encoding"), Buffer.from([7]), Buffer.from("chunked")])],
      ["a connection header", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 10]), Buffer.from("connection"), Buffer.from([5]), Buffer.from("close")])],
      ["a pseudo header after the others", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 3]), Buffer.from("x-a"), Buffer.from([1]), Buffer.from("b"), literal(0x04, "/other")])],
      ["an unknown pseudo header", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 2]), Buffer.from(":x"), Buffer.from([1]), Buffer.from("b")])],
      ["two paths", Buffer.concat([headersOf("/livez"), literal(0x04, "/other")])],
      ["a length without a body", Buffer.concat([headersOf("/livez"), Buffer.from([0x00, 14]), Buffer.from("content-length"), Buffer.from([2]), Buffer.from("10")])],
    ];
    const answered = ({ list }: Frames) => list.some((f) => [HEADERS, RST, 7].includes(f.type));
    await forAll(
      heads,
      async ([name, block]) => {
        const frames = await speak([frame(HEADERS, 0x5, 1, block)], 30_000, answered);
        const ok = frames.list.some((f) => f.type === HEADERS && f.payload[0] === 0x88); // :status 200
        expect(ok, name).toBe(false);
        // it was told: a reply, a reset, or the end of the connection
        expect(answered(frames), name).toBe(true);
      },
      ([name]) => name,
    );
  });
});

describe("clients that are slow on purpose", () => {
  // Each gets the time that the room's readme says; all kinds run side by side.
  const crowd = 30;

  async function drip(start: string, each: string, ms: number): Promise<{ text: string; ms: number; closed: boolean }> {
    const socket = await opened(server.port);
    const begun = Date.now();
    let text = "";
    socket.on("data", (part) => (text += part.toString("latin1")));
    socket.on("error", () => {});
    let closed = false;
    socket.once("close", () => (closed = true));
    socket.write(start);
    while (!closed && Date.now() - begun < ms) {
      if (each !== "") socket.write(each, () => {});
      await sleep(500);
    }
    const took = Date.now() - begun;
    socket.destroy();
    return { text, ms: took, closed };
  }

  it("are let go: heads, bodies, readers; and everybody else is served", async () => {
    const size = 12 << 20;
    const put = await wire.send("PUT", `${tenant.prefix}/buckets/files-alpha/objects/big`, Buffer.alloc(size, 0x61), { authorization: `Bearer ${tenant.admin.token}`, "content-type": "application/octet-stream" });
    expect(put.status, put.text).toBeLessThan(300);

    const auth = `Authorization: Bearer ${tenant.admin.token}\r\n`;
    const heads = Array.from({ length: crowd }, (_, i) => drip("GET /livez HTTP/1.1\r\nHost: x\r\n", i % 2 ? "" : "X-A: b\r\n", 30_000));
    const bodies = Array.from({ length: crowd }, (_, i) =>
      drip(`POST ${tenant.prefix}/auth/users HTTP/1.1\r\nHost: x\r\n${auth}Content-Type: application/json\r\n${i % 2 ? "Content-Length: 100000" : "Transfer-Encoding: chunked"}\r\n\r\n`, i % 2 ? " " : "1\r\n \r\n", 55_000),
    );
    const readers = Array.from({ length: crowd }, async () => {
      const socket = await opened(server.port);
      let got = 0;
      socket.pause();
      socket.on("error", () => {});
      socket.write(`GET ${tenant.prefix}/buckets/files-alpha/objects/big HTTP/1.1\r\nHost: x\r\n${auth}\r\n`);
      await sleep(52_000);
      const ended = new Promise((done) => socket.once("close", done));
      socket.on("data", (part) => (got += part.length));
      socket.resume();
      await Promise.race([ended, sleep(5000)]);
      const closed = socket.destroyed;
      socket.destroy();
      return { got, closed };
    });

    const [h, b, r] = await servedMeanwhile(Promise.all([Promise.all(heads), Promise.all(bodies), Promise.all(readers)]));
    for (const { closed, ms, text } of h) {
      expect(closed).toBe(true);
      expect(ms).toBeLessThan(25_000);
      expectRefused(text, [408], "head");
    }
    for (const { closed, ms, text } of b) {
      expect(closed).toBe(true);
      expect(ms).toBeLessThan(50_000);
      expectRefused(text, [408], "body");
    }
    for (const { got, closed } of r) {
      expect(closed).toBe(true);
      expect(got).toBeLessThan(size); // cut off, not served whole
    }
    const metrics = await wire.send("GET", "/metrics");
    expect(Number(/^apprun_http_connections_open (\d+)/m.exec(metrics.text)![1])).toBeLessThan(crowd);
    expect((await tenant.admin.delete("/buckets/files-alpha/objects/big")).status).toBe(204);
  });
});
