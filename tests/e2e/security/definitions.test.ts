// What a tenant defines becomes tables, graphs, patterns and mails: the places where a text could become code. Here
// the texts try. Each is refused as documented and changes nothing, or it is taken for a text and works as one.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import { type Sink, smtpSink } from "../harness/smtp.js";
import { type Answer, type Dump, dump, expectProblem, expectUnchanged, forAll, furnish, type Furnished, languages, serve, stores, unserve, Wire } from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, tenant: Furnished, wire: Wire, sink: Sink, before: Dump;

  beforeAll(async () => {
    sink = await smtpSink();
    server = await serve(store, ["--smtp-url", `smtp://127.0.0.1:${sink.port}`, "--smtp-from", "house@example.com"]);
    tenant = await furnish(server, "alpha");
    wire = new Wire(server);
    before = await dump(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
    await sink?.close();
  });

  const send = (method: string, path: string, body?: unknown, language = "en", token = tenant.admin.token): Promise<Answer> =>
    wire.send(method, tenant.prefix + path, body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body), { ...(body === undefined ? {} : { "content-type": "application/json" }), authorization: `Bearer ${token}`, "accept-language": language });

  const unchanged = async () => expectUnchanged(before, await dump(server));

  describe("a collection", () => {
    const hostile = ['x"; DROP TABLE auth_users; --', "x'); DROP TABLE auth_users; --", "x y", "x-y", "x.y", "x`y", "[x]", "1x", "_x", "", " ", "X\u0041\u0301", "é", "\u202ex", "x\n", "x".repeat(101), "../x", "sqlite_master;"];

    it("has no hostile name, and its fields have none", async () => {
      await forAll(
        hostile.flatMap((name, i) => [
          { body: { name, fields: [] as unknown[] }, language: languages[i % 2] },
          { body: { name: "fine", fields: [{ name, type: "text" }] }, language: languages[(i + 1) % 2] },
        ]),
        async ({ body, language }) => expectProblem(await send("POST", "/collections", body, language), { status: 422, language, echoes: true }),
        ({ body }) => JSON.stringify(body).slice(0, 80),
        4,
      );
      await unchanged();
    });

    it("has no definition that makes no sense", async () => {
      const f = (more: object) => ({ name: "fine", fields: [{ name: "a", type: "text", ...more }] });
      const rows: unknown[] = [
        f({ type: "text); DROP TABLE auth_users; --" }), f({ type: "blob" }), f({ type: "TEXT" }), f({ max: -1 }), f({ min: 5, max: 1 }), f({ min: 0.5 }), f({ max: 1e300 }), f({ values: ["a"] }), f({ type: "select" }), f({ type: "select", values: [] }), f({ type: "select", values: ["a", "a"] }), f({ type: "select", values: Array(501).fill("a") }), f({ type: "select", values: [1] }), f({ type: "select", values: ["a"], default: "b" }),
        f({ type: "relation" }), f({ type: "relation", collection: "nothing" }), f({ type: "relation", collection: "auth_users" }), f({ type: "relation", collection: "notes'; --" }), f({ collection: "notes" }), f({ multiple: true }), f({ type: "json", unique: true }), f({ type: "json", indexed: true }), f({ type: "int", default: "1); DROP" }), f({ type: "int", default: 1.5 }), f({ type: "bool", default: 0 }), f({ type: "date", default: "2026-02-30" }), f({ default: {} }), f({ default: "\ud83d" }),
        f({ name: "id" }), f({ name: "created" }), f({ name: "rowid" }), f({ name: "true" }), f({ name: "ar_revision" }), f({ zzz: 1 }),
        { name: "fine", fields: [{ name: "a", type: "text" }, { name: "A", type: "text" }] }, { name: "fine", fields: Array.from({ length: 2000 }, (_, i) => ({ name: `f${i}`, type: "text" })) }, { name: "fine", fields: {} }, { name: "fine", fields: "a" }, { name: "fine", fields: [[]] }, { name: "fine", fields: [null] },
        ...["(", "(a+)+$", "[a-", "[", "]", "{", "a{", "a{2", "a{2,1}", "a{99999}", "a{-1}", "*", "+a", "a**", "a|b", "a^b", "\\", "a\\", "[]", "[^]", "[\\", "a{,5}", "x".repeat(201)].map((pattern) => f({ pattern })),
      ];
      await forAll(
        rows.map((body, i) => ({ body, language: languages[i % 2] })),
        async ({ body, language }) => {
          expectProblem(await send("POST", "/collections", body, language), { status: [400, 422], language, echoes: true });
        },
        ({ body }) => JSON.stringify(body).slice(0, 100),
        4,
      );
      expect((await send("POST", "/collections", f({ pattern: "" }))).status).toBe(201); // is none
      expect((await send("DELETE", "/collections/fine")).status).toBe(204);
      const after = await dump(server, ["bus_event"]);
      expect(Object.keys(after).filter((t) => /data_fine/.test(t))).toEqual([]);
    });

    it("has no rule that is none, and none that SQL would see", async () => {
      const rules = ["1 = '1'", "title = 'x' OR 1=1", "'; DROP TABLE auth_users; --", "title ~", "nothing = 1", "(SELECT 1)", "(".repeat(2000), "title = 1", "parent.nothing = 1", "id in (SELECT id FROM auth_users)", "load_extension('x')", "x".repeat(8193), "title = {:x}"];
      await forAll(
        rules.flatMap((rule, i) => ["list", "create"].map((name) => ({ rule, name, language: languages[i % 2] }))),
        async ({ rule, name, language }) => expectProblem(await send("PATCH", "/collections/notes", { rules: { [name]: rule } }, language), { status: [400, 422], language, echoes: true }),
        ({ rule }) => rule.slice(0, 60),
        4,
      );
      for (const body of [{ renameFields: { title: 'x"; DROP TABLE auth_users; --' } }, { renameFields: { title: "body" } }, { renameFields: { nothing: "x" } }, { renameFields: { title: 1 } }, { deleteFields: ['title"; --'] }, { deleteFields: ["id"] }, { fields: [{ name: "title", type: "int" }] }, { fields: [{ name: "n", type: 'int"; --' }] }])
        expectProblem(await send("PATCH", "/collections/notes", body), { status: 422, echoes: true });
      expectUnchanged(await (async () => { const all = await dump(server, ["bus_event"]); return all; })(), await dump(server, ["bus_event"]));
      const now = await dump(server);
      for (const table of Object.keys(before).filter((t) => /data_collections|data_notes|auth_users/.test(t))) expect(now[table]).toEqual(before[table]);
    });

    it("has no rule that asks for what nobody has, and is told what there is", async () => {
      const known = "id, email, name, verified, roles, permissions";
      const held = await dump(server);
      for (const language of languages) {
        const rows: [string, string, object, RegExp][] = [
          ["PATCH", "/collections/notes", { rules: { list: "@auth.role = 'admin'" } }, /^data\/rule$/],
          ["PATCH", "/collections/notes", { rules: { list: "title = @auth.nick.x" } }, /^data\/rule$/],
          ["PATCH", "/buckets/files-alpha", { rules: { list: "@auth.role = 'admin'" } }, /^invalid$/],
        ];
        for (const [method, path, body, code] of rows) {
          const answer = await send(method, path, body, language);
          expectProblem(answer, { status: 422, code, language });
          expect(answer.json.fields["rules.list"].code).toBe("expression");
          expect(answer.json.fields["rules.list"].message).toContain(known);
        }
        const filter = await send("GET", `/collections/notes/records?filter=${encodeURIComponent("title = @auth.nick")}`, undefined, language);
        expectProblem(filter, { status: 422, code: "expr/unknown-member", language });
        expect(filter.json.params.known).toBe(known);
        expectProblem(await send("GET", `/collections/notes/records?filter=${encodeURIComponent("title = @request.body")}`, undefined, language), { status: 422, code: "expr/unknown-member", language });
        expectProblem(await send("PUT", "/subscriptions/members", { topics: "a", kind: "function", target: "greet", condition: "@event.name = 'x'" }, language), { status: 422, code: "expr/unknown-member", language });
        expectProblem(await send("PUT", "/workflows/members", { steps: { a: { action: "events.publish", input: { event: "${run.name}" } } } }, language), { status: 422, code: "workflow/definition", language });
      }
      for (const member of [...known.split(", "), "roles.0"]) expect((await send("GET", `/collections/notes/records?filter=${encodeURIComponent(`title != '' || @auth.${member} = null`)}`)).status).toBe(200);
      expectUnchanged(held, await dump(server));
    });

    it("may be named like a word of SQL, hold texts like code, and works", async () => {
      const words = ["select", "table", "order", "group", "index", "from", "where", "drop", "primary", "check", "default", "values", "null_", "and", "limit", "user"];
      const made = await send("POST", "/collections", { name: "transaction", fields: words.map((name) => ({ name, type: "text", indexed: name === "order", default: "'; DROP TABLE auth_users; --" })), rules: { list: "order = \"'; DROP TABLE auth_users; --\" || user != 'x'", view: "" } });
      if (made.status !== 201) return expectProblem(made, { status: 422 });
      const record = await send("POST", "/collections/transaction/records", { select: "x') --", order: '"; DROP' });
      expect(record.status, record.text).toBe(201);
      expect([record.json.select, record.json.order, record.json.table]).toEqual(["x') --", '"; DROP', "'; DROP TABLE auth_users; --"]);
      const listed = await send("GET", `/collections/transaction/records?sort=-order,group&filter=${encodeURIComponent(`select = "x') --" && limit != "x"`)}`);
      expect(listed.status, listed.text).toBe(200);
      expect(listed.json.items.length).toBe(1);
      expect((await send("PATCH", "/collections/transaction", { renameFields: { select: "having" } })).status).toBe(200);
      expect((await send("GET", `/collections/transaction/records/${record.json.id}`)).json.having).toBe("x') --");
      expect((await send("DELETE", "/collections/transaction?deleteRecords=true")).status).toBe(204);
      expect((await send("GET", "/auth/users")).json.items.length).toBeGreaterThan(1);
    });

    it("matches its patterns in a time that texts cannot choose", async () => {
      const made = await send("POST", "/collections", { name: "patterns", fields: ["a*".repeat(99), "[a-z]*".repeat(33) + "b", ".{0,1024}".repeat(20), "a?".repeat(90) + "a", "[^b]+".repeat(39)].map((pattern, i) => ({ name: `f${i}`, type: "text", pattern })) });
      expect(made.status, made.text).toBe(201);
      const start = Date.now();
      const evil = "a".repeat(1000) + "!";
      const answers = await Promise.all(Array.from({ length: 20 }, () => send("POST", "/collections/patterns/records", { f0: evil, f1: evil, f2: evil, f3: evil, f4: `${evil}b` })));
      expect(Date.now() - start).toBeLessThan(60_000);
      for (const answer of answers) expectProblem(answer, { status: 422 });
      expect((await send("DELETE", "/collections/patterns")).status).toBe(204);
    });
  });

  describe("a workflow", () => {
    const step = (more: object) => ({ steps: { a: { action: "events.publish", input: { event: "x" }, ...more } } });

    it("is not deployed when it makes no sense", async () => {
      const rows: unknown[] = [
        {}, { steps: {} }, { steps: [] }, { steps: null }, { steps: { a: null } }, { steps: { a: {} } }, { steps: { a: { action: "" } } }, { steps: { a: { action: "nothing.at_all" } } }, { steps: { a: { action: "platform.create_tenant" } } }, { steps: { a: { action: "platform.delete_tenant", input: { name: "alpha" } } } }, { steps: { a: { action: "auth.login" } } }, { steps: { a: { action: "auth.create_key", input: { name: "x", permissions: [] } } } }, { steps: { a: { action: "functions.call" } } },
        step({ depends_on: "a" }), step({ depends_on: "nothing" }), step({ depends_on: 5 }), { steps: { a: { action: "events.publish", depends_on: "b" }, b: { action: "events.publish", depends_on: "a" } } },
        step({ retry: { attempts: -1 } }), step({ retry: { attempts: 1e300 } }), step({ retry: { attempts: "many" } }), step({ retry: { delay: "-1s" } }), step({ retry: { delay: "99999999999999w" } }), step({ retry: 500 }), step({ retry: { backoff: "NaN" } }), step({ timeout: "0s" }), step({ timeout: "-5s" }), step({ timeout: "1e9w" }), step({ timeout: {} }), step({ on_error: "explode" }), step({ zzz: 1, when: 5 }),
        step({ when: "(" }), step({ when: "nothing.x = 1" }), step({ when: "steps.b.output.x = 1" }), step({ when: "x".repeat(10_000) }), step({ input: { event: "${" } }), step({ input: { event: "${nothing}" } }), step({ input: { event: "${steps.zzz.output}" } }), step({ input: { event: "${(((}" } }), step({ input: { event: "${'; DROP TABLE x; --}" } }), step({ input: { event: "${@auth.id}" } }), step({ input: { event: "${process.env}" } }), step({ input: "text" }), step({ input: [] }),
        { ...step({}), on: 5 }, { ...step({}), on: ["a b"] }, { ...step({}), on: "'; --" }, { ...step({}), permissions: "*" }, { ...step({}), permissions: [5] }, { ...step({}), output: "${nothing}" }, { ...step({}), zzz: 1 },
        { steps: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`s${i}`, { action: "events.publish", input: { event: "x" } }])) },
        { steps: { ["a".repeat(1000)]: { action: "events.publish", input: { event: "x" } } } }, { steps: { "": { action: "events.publish", input: { event: "x" } } } },
      ];
      await forAll(
        rows.map((body, i) => ({ body, language: languages[i % 2] })),
        async ({ body, language }) => expectProblem(await send("PUT", "/workflows/nonsense", body, language), { status: [400, 403, 404, 413, 422], language, echoes: true }),
        ({ body }) => JSON.stringify(body).slice(0, 120),
        4,
      );
      expectProblem(await send("GET", "/workflows/nonsense"), { status: 404 });
    });

    it("gives nobody more than who deploys it has, and a function neither", async () => {
      const key = (await tenant.admin.post("/auth/keys", { name: "deployer", permissions: ["workflows.*", "functions.*", "events.*"] })).body.key;
      const as = (method: string, path: string, body: unknown) => send(method, path, body, "en", key);
      for (const action of ["auth.create_user", "auth.list_users", "storage.create_bucket", "notify.send_email"])
        expectProblem(await as("PUT", "/workflows/climber", { steps: { a: { action, input: {} } } }), { status: 403 });
      expectProblem(await as("PUT", "/workflows/climber", { ...step({}), permissions: ["*"] }), { status: 403 });
      for (const permissions of [["*"], ["auth.*"], ["auth.users.read"], ["functions.*", "auth.keys.manage"]]) expectProblem(await as("PUT", "/functions/climber", { source: "return function() end", permissions }), { status: 403 });
      // nor by the back door: a function that somebody else gave more
      expect((await tenant.admin.put("/functions/strong", { source: "return function() return apprun.auth.list_users{} end", permissions: ["auth.users.read"], allow: "auth.users.read" })).status).toBeLessThan(300);
      expectProblem(await as("POST", "/functions/strong/execute", {}), { status: 403 });
      expectProblem(await as("PUT", "/functions/strong", { source: "return function() return 'mine' end" }), { status: 403 });
      expectProblem(await as("PUT", "/functions/strong", { source: "return function() return 'mine' end", permissions: ["auth.users.read"] }), { status: 403 });
      const through = await as("PUT", "/functions/through", { source: "return function() return apprun.functions.execute{ ['function'] = 'strong' } end", allow: "-" });
      expect(through.status, through.text).toBeLessThan(300);
      const climbed = await as("POST", "/functions/through/execute", {});
      expect(climbed.text).not.toContain(tenant.canary);
      expect(climbed.status).toBeGreaterThanOrEqual(400);
      for (const name of ["strong", "through"]) expect((await tenant.admin.delete(`/functions/${name}`)).status).toBe(204);
    });
  });

  describe("a message", () => {
    it("is refused when it is no pattern, whatever its shape", async () => {
      const rows = ["{", "}", "{}", "{a", "{a,", "{a,}", "{a, nothing}", "{a, plural}", "{a, plural, one{x}}", "{a, plural, other{", "{a, select, x{y}}", "{a, number, ::nothing-at-all}", "{a b}", "{0.5}", "{a, plural, other{".repeat(1000), "{a, plural, other{".repeat(17) + "x" + "}}".repeat(17), "{a}".repeat(101), "{" + "a".repeat(5000) + "}", "{a, plural, offset:9999999999 other{x}}", "{a, plural, =1e400{x} other{y}}", "{a, date, ../../etc/passwd}"];
      await forAll(
        rows,
        async (text) => {
          const put = await send("PUT", "/i18n/messages/en/pattern", { text }, "zh-CN");
          if (put.status < 300) {
            // taken as it is: then it speaks, or says which argument is not right
            const spoken = await send("GET", `/i18n/translate?key=pattern&locale=en&args=${encodeURIComponent('{"a":1}')}`);
            if (spoken.status !== 200) expectProblem(spoken, { status: 422, echoes: true });
            return;
          }
          expectProblem(put, { status: 422, language: "zh-CN", echoes: true });
        },
        (text) => text.slice(0, 60),
        1,
      );
      await send("DELETE", "/i18n/messages/en/pattern");
    });

    it("is spoken with arguments, zones, locales and formats that nobody can mean", async () => {
      await send("PUT", "/i18n/messages/en/args", { text: "{n, number} {d, date, full} {t, time} {p, plural, one{# thing} other{# things}} {s, select, a{A} other{B}} {x}" });
      const values = [null, true, "", "x", -1, 1e308, -1e308, 5e-324, 9007199254740993, "9".repeat(5000), [], {}, "2026-13-45", "-271821-04-20T00:00:00Z", "+275760-09-13T00:00:01Z", 8.64e15, 9e18, "\u202e", "{n}", "%s%n%p"];
      const zones = ["", "UTC", "Nowhere/Else", "../../etc/passwd", "/etc/localtime", "GMT+99:99", "x".repeat(64), "\u0000".replace("\u0000", "%00"), "Asia/Shanghai\n"];
      const all = [...values.map((value) => ({ value, zone: "UTC" })), ...zones.map((zone) => ({ value: 5 as unknown, zone }))];
      await forAll(
        all,
        async ({ value, zone }) => {
          const args = JSON.stringify({ n: value, d: value, t: value, p: value, s: value, x: value });
          const query = `key=args&locale=en&args=${encodeURIComponent(args)}&timeZone=${encodeURIComponent(zone)}`;
          if (query.length < 7000) {
            const spoken = await send("GET", `/i18n/translate?${query}`);
            if (spoken.status !== 200) expectProblem(spoken, { status: [400, 422], echoes: true });
          }
          for (const kind of ["number", "integer", "percent", "currency", "date", "time", "datetime"])
            for (const more of [{}, { skeleton: "::" }, { skeleton: "%%%%" }, { skeleton: "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" }, { skeleton: "integer-width/+" + "0".repeat(80) }, { skeleton: "scale/1e999" }, { skeleton: ".".padEnd(90, "0") }, { skeleton: "precision-increment/0" }, { currency: "XXX" }, { currency: "€€€" }, { style: "full" }]) {
              const answer = await send("POST", "/i18n/format", { kind, value, locale: "en", timeZone: zone, currency: "EUR", ...more });
              if (answer.status !== 200) expectProblem(answer, { status: [400, 422], echoes: true });
            }
        },
        ({ value, zone }) => `${JSON.stringify(value)?.slice(0, 40)} ${zone}`,
      );
      for (const locale of ["", "x", "en-", "-en", "../../en", "en_US.UTF-8", "zz-ZZ", "en-u-nu-".repeat(20), "x-".repeat(17) + "x", "en-US-x-" + "a".repeat(40), "i-klingon", "und", "root", "C", "\u202een", "en@collation=phonebook", "zh-Hant-TW-u-ca-chinese-nu-hansfin"]) {
        const answer = await send("POST", "/i18n/format", { kind: "number", value: 1, locale });
        if (answer.status !== 200) expectProblem(answer, { status: 422, echoes: true });
      }
      await send("DELETE", "/i18n/messages/en/args");
    });
  });

  describe("a mail", () => {
    const plain = { to: ["to@example.com"], subject: "hello", text: "hello" };

    it("has the headers and readers that it was given, and no others", async () => {
      expect((await send("DELETE", "/notify/smtp")).status).toBe(204); // the operator's server from here on
      const ends = ["\r\nBcc: evil@example.com", "\nBcc: evil@example.com", "\rBcc: evil@example.com", "\r\n\r\nbody", "\u2028Bcc: evil@example.com", "\u0085Bcc: evil@example.com", "\u0000Bcc: evil@example.com", "\r\n.\r\nMAIL FROM:<evil@example.com>\r\nRCPT TO:<evil@example.com>\r\nDATA\r\n", "=?utf-8?q?=0D=0ABcc:_evil@example.com?="];
      let sent = 0;
      for (const end of ends)
        for (const body of [
          { ...plain, subject: `s${end}` }, { ...plain, fromName: `n${end}` }, { ...plain, text: `t${end}` }, { ...plain, html: `<p>${end}</p>` }, { ...plain, to: [`to@example.com${end}`] }, { ...plain, to: [`to${end}@example.com`] }, { ...plain, to: [`"to${end}"@example.com`] }, { ...plain, from: `f@example.com${end}` }, { ...plain, replyTo: `r@example.com${end}` }, { ...plain, id: `i${end}` },
        ]) {
          const count = sink.mails.length;
          const answer = await send("POST", "/notify/email", body);
          if (answer.status >= 300) {
            expectProblem(answer, { status: [400, 422], echoes: true });
            expect(sink.mails.length).toBe(count);
            continue;
          }
          sent++;
          expect(sink.mails.length).toBe(count + 1);
          const mail = sink.mails[count];
          expect(mail.headers.has("bcc"), JSON.stringify(body)).toBe(false);
          expect([mail.to].flat().map((t) => t?.text)).toEqual(["to@example.com"]);
          expect([...mail.headers.keys()].filter((k) => !/^(from|to|subject|date|message-id|mime-version|content-type|content-transfer-encoding|reply-to|received)$/.test(k))).toEqual([]);
        }
      expect(sent).toBeGreaterThan(10); // texts with dots and line ends are texts
    });

    it("is not sent through a server inside the house", async () => {
      const count = sink.mails.length;
      for (const host of ["127.0.0.1", "localhost", "LOCALHOST.", "::1", "[::1]", "0.0.0.0", "0", "127.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "169.254.169.254", "10.0.0.1", "192.168.0.1", "172.16.0.1", "100.64.0.1", "fd00::1", "127.0.0.1:25", "127.0.0.1/x", "x@127.0.0.1", "127.0.0.1#.example.com", "127.0.0.1\r\nx", "a b", "127.0.0.1%00.example.com", "file:///etc/passwd", "１２７.0.0.1", "①27.0.0.1"]) {
        const put = await send("PUT", "/notify/smtp", { host, port: sink.port, tls: "none", from: "a@example.com" });
        if (put.status !== 200) {
          expectProblem(put, { status: [400, 422], echoes: true });
          continue;
        }
        const answer = await send("POST", "/notify/email", plain);
        if (answer.status < 400) expect.fail(`${host}: ${answer.text}`);
        expectProblem(answer, { status: [422, 502, 503, 504], code: /^client\//, echoes: true });
      }
      expect(sink.mails.length).toBe(count);
      await send("DELETE", "/notify/smtp");
    });
  });

  describe("a header of a request", () => {
    it("that means something is refused when it means nothing, and then nothing happens", async () => {
      const post = (headers: Record<string, string>) => wire.send("POST", `${tenant.prefix}/events`, '{"event":"h"}', { "content-type": "application/json", authorization: `Bearer ${tenant.admin.token}`, ...headers });
      const events = async () => (await send("GET", `/events?filter=${encodeURIComponent("event = 'h'")}&count=exact`)).json.total;
      for (const key of ["x".repeat(256), "x".repeat(5000), "\u00e9"]) {
        const answer = await post({ "idempotency-key": key });
        if (answer.status !== 201) expectProblem(answer, { status: [400, 422] });
        else expect(key.length).toBeLessThan(256);
      }
      const had = await events();
      expectProblem(await post({ "content-encoding": "gzip" }), { status: [400, 415] });
      expect(await events()).toBe(had);
      const object = (headers: Record<string, string>) => wire.send("GET", `${tenant.prefix}/buckets/files-alpha/objects/a/${tenant.canary}.txt`, undefined, { authorization: `Bearer ${tenant.admin.token}`, ...headers });
      for (const range of ["bytes=", "bytes=-", "bytes=a-b", "bytes=5-1", "bytes=-0", "bytes=99999999999999999999-", "bytes=0-0,1-1,2-2,".repeat(200), "lines=1-2", "bytes=0-9223372036854775807", "bytes=9223372036854775807-", "bytes=--1", "bytes = 0-1", "\u00e9"]) {
        const answer = await object({ range });
        if (answer.status >= 400) expectProblem(answer, { status: [400, 416] });
        else expect(tenant.canary.startsWith(answer.text) || tenant.canary.endsWith(answer.text)).toBe(true);
      }
      for (const etag of ["", '"', "W/", "*,", "*, *", '"a", "b', "x".repeat(5000), "\u00e9", '"a"'.padEnd(4000, ', "a"')]) {
        const answer = await wire.send("PATCH", `${tenant.prefix}/collections/notes/records/${tenant.ids.record}`, '{"n":7}', { "content-type": "application/json", authorization: `Bearer ${tenant.admin.token}`, "if-match": etag });
        expectProblem(answer, { status: [400, 412, 422] });
      }
      expect((await send("GET", `/collections/notes/records/${tenant.ids.record}`)).json.n).toBe(2);
    });
  });
});
