// Every field of every route, given what it is not: as a member of the body, inside of objects and arrays, and as
// a parameter of the query. The schemas in the tenant's own OpenAPI say what it is, so they are held to their word.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import { type Dump, type Furnished, type Route, Wire, dump, expectProblem, expectUnchanged, forAll, furnish, isFunction, languages, pathOf, routesOf, serve, stores, unserve } from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, tenant: Furnished, routes: Route[], wire: Wire, before: Dump;

  beforeAll(async () => {
    server = await serve(store);
    tenant = await furnish(server, "alpha");
    routes = (await routesOf(tenant)).filter((route) => !isFunction(route));
    wire = new Wire(server);
    before = await dump(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
  });

  type Wrong = { at: string; value: unknown; why: string };

  const samples: [string, unknown][] = [
    ["null", null],
    ["boolean", true],
    ["integer", 12],
    ["number", 1.5],
    ["string", "text"],
    ["array", []],
    ["object", {}],
  ];

  const typesOf = (schema: any): string[] | undefined => (schema.type === undefined ? undefined : [schema.type].flat());

  // Values that a schema does not allow, each with the place where it is wrong.
  function wrongs(schema: any, at: string, depth = 0): Wrong[] {
    const types = typesOf(schema);
    const list: Wrong[] = [];
    if (types === undefined || depth > 3) return list;
    for (const [type, value] of samples)
      if (!types.includes(type) && !(type === "integer" && types.includes("number"))) list.push({ at, value, why: `a ${type}` });
    const is = (type: string) => types.includes(type);
    if (is("integer") || is("number")) {
      if (schema.maximum !== undefined) list.push({ at, value: schema.maximum + 1, why: "above its maximum" });
      if (schema.minimum !== undefined) list.push({ at, value: schema.minimum - 1, why: "below its minimum" });
      if (is("integer")) list.push({ at, value: 1e300, why: "1e300" }, { at, value: 0.1, why: "a fraction" });
    }
    if (is("string")) {
      if (schema.enum) list.push({ at, value: "none of these", why: "none of its values" });
      if (schema.maxLength !== undefined) list.push({ at, value: "x".repeat(schema.maxLength + 1), why: "too long" });
      if (schema.minLength > 0) list.push({ at, value: "", why: "empty" });
      if (schema.format === "uuid") list.push({ at, value: "'; drop table users; --", why: "no id" }, { at, value: "../../etc/passwd", why: "a path" });
      if (schema.format === "email") for (const value of ["a", "a@", "@b", "a@b@c.de", "a b@c.de", "a@b.c\r\nbcc: d@e.fg", `${"a".repeat(250)}@b.cd`]) list.push({ at, value, why: JSON.stringify(value.slice(0, 20)) });
      if (schema.format === "date") for (const value of ["2026-02-30", "2026-13-01", "26-1-1", "2026-11-24T00:00:00Z"]) list.push({ at, value, why: value });
      if (schema.format === "date-time") for (const value of ["2026-02-30T00:00:00Z", "2026-11-24 25:00:00Z", "now", "12:00:00"]) list.push({ at, value, why: value });
      if (schema.pattern) for (const value of ["\n", "../..", "a\u202eb", "<script>", " "]) if (!new RegExp(schema.pattern, "u").test(value)) list.push({ at, value, why: JSON.stringify(value) });
    }
    if (is("array")) {
      if (schema.maxItems !== undefined) list.push({ at, value: Array(schema.maxItems + 1).fill("x"), why: "too many" });
      if (schema.items) for (const inner of wrongs(schema.items, `${at}.0`, depth + 1)) list.push({ ...inner, value: [inner.value] });
    }
    if (is("object")) {
      for (const [name, property] of Object.entries<any>(schema.properties ?? {}))
        for (const inner of wrongs(property, `${at}.${name}`, depth + 1)) list.push({ ...inner, value: { [name]: inner.value } });
      if (schema.additionalProperties === false) list.push({ at: `${at}.zzz`, value: { zzz: 1 }, why: "a member too many" });
      if (schema.maxProperties !== undefined)
        list.push({ at, value: Object.fromEntries(Array.from({ length: schema.maxProperties + 1 }, (_, i) => [`k${i}`, "x"])), why: "too many members" });
    }
    return list;
  }

  describe("every field of every body", () => {
    it("refuses what its schema does not allow with 422 at its name, in both languages", async () => {
      const work = routes.flatMap((route, i) =>
        Object.entries<any>(route.body?.properties ?? {}).flatMap(([name, schema]) =>
          wrongs(schema, name).map((wrong, k) => ({ route, name, wrong, language: languages[(i + k) % 2] })),
        ),
      );
      expect(work.length).toBeGreaterThan(800);
      await forAll(
        work,
        async ({ route, name, wrong, language }) => {
          const answer = await wire.send(route.method, pathOf(tenant, route), JSON.stringify({ [name]: wrong.value }), {
            "content-type": "application/json",
            authorization: `Bearer ${tenant.admin.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 422, code: "invalid", language });
          const named = Object.keys(answer.json.fields);
          if (!named.some((field) => field === wrong.at || field.startsWith(`${wrong.at}.`))) expect.fail(`${wrong.at} is not named: ${answer.text}`);
        },
        ({ route, wrong }) => `${route.name}, ${wrong.at} is ${wrong.why}`,
      );
    });
  });

  describe("every parameter of every query", () => {
    const texts = (schema: any): string[] => {
      const types = typesOf(schema) ?? [];
      const list: string[] = [];
      if (types.includes("integer"))
        list.push("x", "", "1.5", "1e1", "0x10", "9223372036854775808", "-1e400", " 1", "１", ...(schema.maximum === undefined ? [] : [String(schema.maximum + 1)]), ...(schema.minimum === undefined ? [] : [String(schema.minimum - 1)]));
      if (types.includes("boolean")) list.push("maybe", "2", "");
      if (types.includes("object")) list.push("[1]", "{", "text", "1", '{"a":1e400}', '{"a":"\\ud83d"}', "[".repeat(2000));
      if (schema.enum) list.push("none of these");
      if (schema.maxLength !== undefined && schema.maxLength < 8000) list.push("x".repeat(schema.maxLength + 1));
      return list;
    };

    it("refuses what it is not with 4xx at its name", async () => {
      const work = routes.flatMap((route, i) =>
        route.params
          .filter((param) => param.in === "query")
          .flatMap((param) => texts(param.schema).map((text, k) => ({ route, name: param.name, text, language: languages[(i + k) % 2] }))),
      );
      expect(work.length).toBeGreaterThan(300);
      await forAll(
        work,
        async ({ route, name, text, language }) => {
          const answer = await wire.send(route.method, `${pathOf(tenant, route)}?${name}=${encodeURIComponent(text)}`, undefined, {
            authorization: `Bearer ${tenant.admin.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 422, language });
          expect(Object.keys(answer.json.fields ?? {}).join(), answer.text).toContain(name);
        },
        ({ route, name, text }) => `${route.name}?${name}=${text.slice(0, 40)}`,
      );
    });

    it("refuses broken escapes, NUL and wrong UTF-8 with 400", async () => {
      const work = routes
        .filter((route) => route.method === "GET" || route.method === "DELETE")
        .flatMap((route, i) =>
          ["a=%", "a=%0", "a=%zz", "a=%00", "a=%c0%af", "a=%ed%a0%80", "%ff=1", "a=%F4%90%80%80"].map((query, k) => ({ route, query, language: languages[(i + k) % 2] })),
        );
      await forAll(
        work,
        async ({ route, query, language }) => {
          const answer = await wire.send(route.method, `${pathOf(tenant, route)}?${query}`, undefined, { authorization: `Bearer ${tenant.admin.token}`, "accept-language": language });
          expectProblem(answer, { status: 400, code: "malformed", language });
        },
        ({ route, query }) => `${route.name}?${query}`,
      );
    });

    it("refuses names that it does not know, the same name twice with two values, and too many of them", async () => {
      const work = routes
        .filter((route) => route.method === "GET" || route.method === "DELETE")
        .flatMap((route) =>
          ["zzz=1", "__proto__=1", "filter[a]=1", "limit=1&limit=2", Array.from({ length: 300 }, (_, i) => `a${i}=1`).join("&")].map((query) => ({ route, query })),
        );
      await forAll(
        work,
        async ({ route, query }) => {
          const answer = await wire.send(route.method, `${pathOf(tenant, route)}?${query}`, undefined, { authorization: `Bearer ${tenant.admin.token}` });
          expectProblem(answer, { status: [400, 422] });
        },
        ({ route, query }) => `${route.name}?${query.slice(0, 40)}`,
      );
    });

    it("changed nothing with all of this", async () => {
      expectUnchanged(before, await dump(server));
    });
  });
});
