// Bodies that nobody can mean: to every route that takes one, each is refused as documented, in the caller's
// language, and nothing that is kept changes.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import {
  type Dump,
  type Furnished,
  type Route,
  Wire,
  dump,
  expectProblem,
  expectUnchanged,
  forAll,
  furnish,
  isFunction,
  languages,
  pathOf,
  routesOf,
  serve,
  stores,
  unserve,
  writes,
} from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, tenant: Furnished, routes: Route[], wire: Wire, before: Dump;

  beforeAll(async () => {
    server = await serve(store);
    tenant = await furnish(server, "alpha");
    routes = (await routesOf(tenant)).filter((route) => writes(route) && !isFunction(route));
    wire = new Wire(server);
    before = await dump(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
  });

  const json = { "content-type": "application/json" };
  const bytes = (...parts: (string | number[])[]) => Buffer.concat(parts.map((p) => (typeof p === "string" ? Buffer.from(p) : Buffer.from(p))));

  interface Case {
    name: string;
    body: string | Buffer;
    status?: number; // 400
    code?: string;
    headers?: Record<string, string>;
  }

  const malformed: Case[] = [
    { name: "half an object", body: '{"name":' },
    { name: "a brace", body: "{" },
    { name: "a comma too many", body: '{"name":"a",}' },
    { name: "two values", body: "{}{}" },
    { name: "a word", body: "{name:1}" },
    { name: "single quotes", body: "{'name':'a'}" },
    { name: "a comment", body: '{"name":"a"/* ! */}' },
    { name: "NaN", body: '{"name":NaN}' },
    { name: "nothing but spaces", body: "  \n " },
    { name: "an open string", body: '{"name":"a' },
    { name: "a control character in a string", body: '{"name":"a\nb"}' },
    { name: "arrays 100,000 deep", body: "[".repeat(100_000) },
    { name: "closed arrays 100,000 deep", body: "[".repeat(100_000) + "]".repeat(100_000) },
    { name: "objects 100,000 deep", body: '{"name":'.repeat(100_000) + "1" + "}".repeat(100_000) },
    { name: "an object 65 deep", body: '{"name":'.repeat(65) + "1" + "}".repeat(65) },
    { name: "a raw NUL", body: bytes('{"name":"a', [0], 'b"}') },
    { name: "a NUL after the value", body: bytes("{}", [0]) },
    { name: "an escaped NUL", body: '{"name":"a\\u0000b"}' },
    { name: "an escaped NUL in a key", body: '{"na\\u0000me":"a"}' },
    { name: "overlong UTF-8 of two bytes", body: bytes('{"name":"', [0xc0, 0xaf], '"}') },
    { name: "overlong UTF-8 of three bytes", body: bytes('{"name":"', [0xe0, 0x80, 0xaf], '"}') },
    { name: "overlong UTF-8 of four bytes", body: bytes('{"name":"', [0xf0, 0x80, 0x80, 0xaf], '"}') },
    { name: "a surrogate in UTF-8", body: bytes('{"name":"', [0xed, 0xa0, 0x80], '"}') },
    { name: "a pair of surrogates in UTF-8", body: bytes('{"name":"', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80], '"}') },
    { name: "beyond Unicode", body: bytes('{"name":"', [0xf4, 0x90, 0x80, 0x80], '"}') },
    { name: "half a character", body: bytes('{"name":"', [0xe4, 0xbd], '"}') },
    { name: "0xff", body: bytes('{"name":"', [0xff], '"}') },
    { name: "UTF-16", body: Buffer.from('{"name":"a"}', "utf16le") },
    { name: "a byte order mark", body: bytes([0xef, 0xbb, 0xbf], "{}") },
    { name: "a lone high surrogate escape", body: '{"name":"\\ud83d"}' },
    { name: "a lone low surrogate escape", body: '{"name":"\\ude00"}' },
    { name: "surrogate escapes the wrong way round", body: '{"name":"\\ude00\\ud83d"}' },
    { name: "1e400", body: '{"name":1e400}' },
    { name: "-1e400", body: '{"name":-1e400}' },
    { name: "2^63", body: '{"name":9223372036854775808}' },
    { name: "-2^63-1", body: '{"name":-9223372036854775809}' },
    { name: "an integer of 5,000 digits", body: `{"name":${"9".repeat(5000)}}` },
    { name: "a leading zero", body: '{"name":012}' },
    { name: "a hexadecimal number", body: '{"name":0x10}' },
    { name: "a key twice", body: '{"name":"a","name":"b"}' },
    { name: "a key twice, once escaped", body: '{"name":"a","n\\u0061me":"b"}' },
    { name: "a key twice, deep inside", body: '{"name":{"a":[{"b":1,"b":2}]}}' },
  ];

  // of the wrong shape, but JSON
  const shapes: Case[] = [
    { name: "null", body: "null" },
    { name: "an array", body: "[]" },
    { name: "a text", body: '"name"' },
    { name: "a number", body: "-0" },
    { name: "a truth", body: "true" },
  ];

  const types: (string | undefined)[] = [
    undefined,
    "",
    "text/plain",
    "application/xml",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json; charset=utf-16",
    "application/json5",
    "text/json, application/json",
  ];

  const takesJson = () => routes.filter((route) => !route.raw);

  describe("every route that takes a body", () => {
    it("refuses what is no JSON with 400, in both languages", async () => {
      const work = takesJson().flatMap((route, i) => malformed.map((bad, k) => ({ route, bad, language: languages[(i + k) % 2] })));
      expect(work.length).toBeGreaterThan(1000);
      await forAll(
        work,
        async ({ route, bad, language }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), bad.body, {
            ...json,
            authorization: `Bearer ${tenant.admin.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 400, code: "malformed", language });
        },
        ({ route, bad }) => `${route.name}, ${bad.name}`,
      );
    });

    it("refuses a value that is no object with 422", async () => {
      const work = takesJson().flatMap((route, i) => shapes.map((bad, k) => ({ route, bad, language: languages[(i + k) % 2] })));
      await forAll(
        work,
        async ({ route, bad, language }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), bad.body, {
            ...json,
            authorization: `Bearer ${tenant.admin.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 422, code: "invalid", language });
          expect(Object.values<any>(answer.json.fields).map((f) => f.code)).toContain(bad.body === "null" && answer.json.fields.data ? "null" : "type");
        },
        ({ route, bad }) => `${route.name}, ${bad.name}`,
      );
    });

    it("refuses members that it does not know with 422, and names them", async () => {
      const work = takesJson().flatMap((route, i) => ["zzz", "__proto__", "Name", "名字", "a.b", "'; drop table users; --"].map((member, k) => ({ route, member, language: languages[(i + k) % 2] })));
      await forAll(
        work,
        async ({ route, member, language }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), `{${JSON.stringify(member)}:1}`, {
            ...json,
            authorization: `Bearer ${tenant.admin.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 422, code: "invalid", language });
          expect(answer.json.fields[member]?.code, answer.text).toBe("unknown");
        },
        ({ route, member }) => `${route.name}, ${member}`,
      );
    });

    it("refuses other media types with 415", async () => {
      const work = takesJson().flatMap((route, i) => types.map((type, k) => ({ route, type, language: languages[(i + k) % 2] })));
      await forAll(
        work,
        async ({ route, type, language }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), '{"zzz":1}', {
            ...(type === undefined ? {} : { "content-type": type }),
            authorization: `Bearer ${tenant.admin.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 415, code: "unsupported-media-type", language });
        },
        ({ route, type }) => `${route.name}, ${type}`,
      );
    });

    it("asks for what it needs when there is no body", async () => {
      const needs = takesJson().filter((route) => route.body?.required?.length > 0);
      expect(needs.length).toBeGreaterThan(12);
      await forAll(
        needs.flatMap((route) => ["", "{}"].map((body) => ({ route, body }))),
        async ({ route, body }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), body, { ...json, authorization: `Bearer ${tenant.admin.token}` });
          expectProblem(answer, { status: 422, code: "invalid" });
          for (const name of route.body.required) expect(answer.json.fields[name]?.code ?? answer.json.fields.data?.code, `${name}: ${answer.text}`).toBe("required");
        },
        ({ route, body }) => `${route.name}, "${body}"`,
      );
    });

    const isTooLarge = (text: string) =>
      forAll(
        takesJson(),
        async (route) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), text, { ...json, authorization: `Bearer ${tenant.admin.token}` });
          expectProblem(answer, { status: 413, code: "too-large" });
        },
        (route) => route.name,
        4,
      );

    it("refuses 10 MB of text with 413, or the body's reader reads no more than it must", async () => {
      const text = `{"name":"${"x".repeat(10_000_000)}"}`;
      await isTooLarge(text);
    });

    it("refuses more values than it counts to with 413", async () => {
      const text = `{"name":[${"0,".repeat(210_000)}0]}`;
      await isTooLarge(text);
    });

    it("says who must sign in before it looks at the body", async () => {
      await forAll(
        takesJson().filter((route) => route.allow !== "-" && route.allow !== ""),
        async (route) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), "{", { ...json, "accept-language": "zh-CN" });
          expectProblem(answer, { status: 401, code: "unauthorized", language: "zh-CN" });
          expect(answer.headers["www-authenticate"]).toBe("Bearer");
        },
        (route) => route.name,
      );
    });

    it("refuses definitions of workflows that are none, in JSON and in YAML", async () => {
      const flows = routes.filter((route) => route.template === "/workflows/{name}" && route.raw);
      expect(flows.length).toBe(2);
      const bodies: [string, string | Buffer, string][] = [
        ...malformed.map((m): [string, string | Buffer, string] => [m.name, m.body, "application/json"]),
        ...shapes.map((m): [string, string | Buffer, string] => [m.name, m.body, "application/json"]),
        ["nothing", "", "application/json"],
        ["an empty object", "{}", "application/json"],
        ["YAML that is none", "a: [1, 2", "application/yaml"],
        ["tabs", "a:\n\t- b", "application/yaml"],
        ["a YAML bomb", "a: &a [x,x,x,x,x,x,x,x,x]\n" + [..."bcdefgh"].map((c, i) => `${c}: &${c} [${Array(9).fill(`*${"abcdefg"[i]}`).join(",")}]`).join("\n"), "application/yaml"],
        ["YAML that names itself", "a: &a\n  b: *a\n", "application/yaml"],
        ["YAML with a tag of a language", "a: !!python/object/apply:os.system ['id']", "application/yaml"],
        ["two documents", "steps: {}\n---\nsteps: {}\n", "application/yaml"],
        ["YAML with a key twice", "steps: {}\nsteps: {}\n", "application/yaml"],
        ["YAML 100,000 deep", "[".repeat(100_000), "application/yaml"],
        ["YAML 100,000 deep in blocks", Array.from({ length: 1000 }, (_, i) => " ".repeat(i) + "a:").join("\n"), "application/yaml"],
        ["YAML with a NUL", bytes("a: b", [0], "c"), "application/yaml"],
        ["YAML with wrong UTF-8", bytes("a: ", [0xc0, 0xaf]), "application/yaml"],
        ["YAML with an escaped NUL", 'a: "b\\0c"', "application/yaml"],
        ["YAML with a byte order mark of UTF-16", Buffer.from("\ufeffsteps: {}", "utf16le"), "application/yaml"],
      ];
      await forAll(
        flows.flatMap((route) => bodies.map(([name, body, type]) => ({ route, name, body, type }))),
        async ({ route, body, type }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), body, { "content-type": type, authorization: `Bearer ${tenant.admin.token}` });
          expectProblem(answer, { status: [400, 413, 415, 422], echoes: true });
        },
        ({ route, name }) => `${route.name}, ${name}`,
      );
    });

    it("changed nothing with all of this", async () => {
      expectUnchanged(before, await dump(server));
    });
  });
});
