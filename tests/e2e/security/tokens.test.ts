// Who may come in: tokens that are expired, forged, altered, revoked or somebody else's, on every route, and API
// keys of other tenants. A refusal is the plain 401 in the caller's language, says no reason, and changes nothing.
import { createHmac, createPrivateKey, createPublicKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Server } from "../harness/server.js";
import { type Dump, type Furnished, type Route, Wire, ask, dump, expectProblem, expectUnchanged, forAll, furnish, isFunction, languages, pathOf, raw, routesOf, serve, stores, unserve } from "./kit.js";

describe.each(stores)("on %s", (store) => {
  let server: Server, alpha: Furnished, beta: Furnished, routes: Route[], wire: Wire;

  beforeAll(async () => {
    server = await serve(store);
    alpha = await furnish(server, "alpha");
    beta = await furnish(server, "beta");
    routes = await routesOf(alpha);
    wire = new Wire(server);
  });

  afterAll(async () => {
    await wire?.close();
    await unserve(server);
  });

  // ---- the forger's tools ----

  const b64 = (value: unknown) => Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");

  function parts(token: string): { header: any; claims: any; signature: string } {
    const [header, claims, signature] = token.split(".");
    return { header: JSON.parse(Buffer.from(header, "base64url").toString()), claims: JSON.parse(Buffer.from(claims, "base64url").toString()), signature };
  }

  function es256(header: unknown, claims: unknown, key: KeyObject): string {
    const text = `${b64(header)}.${b64(claims)}`;
    return `${text}.${sign("sha256", Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
  }

  function hs256(header: unknown, claims: unknown, secret: string | Buffer): string {
    const text = `${b64(header)}.${b64(claims)}`;
    return `${text}.${createHmac("sha256", secret).update(text).digest("base64url")}`;
  }

  function signingKey(tenant: string): { key: KeyObject; pem: string; kid: string } {
    const [row] = ask(server, tenant, "SELECT kid, private_pem FROM auth_signing_keys ORDER BY created DESC LIMIT 1");
    const key = createPrivateKey(row.private_pem);
    return { key, pem: createPublicKey(key).export({ type: "spki", format: "pem" }).toString(), kid: row.kid };
  }

  async function forgeries(): Promise<[string, string][]> {
    const good = alpha.admin.token!;
    const { header, claims, signature } = parts(good);
    const [head, body] = good.split(".");
    const own = signingKey("alpha");
    const other = signingKey("beta");
    const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const jwks = (await alpha.anyone.call("GET", "/../../.well-known/jwks.json")).body ?? (await (await fetch(`${server.url}/t/alpha/.well-known/jwks.json`)).json());
    const jwk = jwks.keys[0];
    const now = Math.floor(Date.now() / 1000);
    const strangerJwk = stranger.publicKey.export({ format: "jwk" });
    const none = { ...header, alg: "none" };
    const flipped = Buffer.from(signature, "base64url");
    flipped[10] ^= 1;
    const n = Buffer.from("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", "hex");

    // the tools must be able to make a good one, or the refusals below mean nothing
    const probe = await wire.send("GET", `${alpha.prefix}/auth/me`, undefined, { authorization: `Bearer ${es256(header, { ...claims, jti: "again" }, own.key)}` });
    expect(probe.status, probe.text).toBe(200);

    return [
      ["none", `${b64(none)}.${body}.`],
      ["none with the old signature", `${b64(none)}.${body}.${signature}`],
      ["None", `${b64({ ...header, alg: "None" })}.${body}.`],
      ["no algorithm", `${b64({ typ: "JWT", kid: header.kid })}.${body}.${signature}`],
      ["no signature", `${head}.${body}.`],
      ["two parts", `${head}.${body}`],
      ["four parts", `${good}.${signature}`],
      ["HS256 with the public key's PEM", hs256({ ...header, alg: "HS256" }, claims, own.pem)],
      ["HS256 with the public key's PEM, trimmed", hs256({ ...header, alg: "HS256" }, claims, own.pem.trim())],
      ["HS256 with the public key's DER", hs256({ ...header, alg: "HS256" }, claims, createPublicKey(own.key).export({ type: "spki", format: "der" }))],
      ["HS256 with the JWK", hs256({ ...header, alg: "HS256" }, claims, JSON.stringify(jwk))],
      ["HS256 with the JWK's x", hs256({ ...header, alg: "HS256" }, claims, jwk.x)],
      ["HS256 with an empty secret", hs256({ ...header, alg: "HS256" }, claims, "")],
      ["HS256 with the kid", hs256({ ...header, alg: "HS256" }, claims, header.kid)],
      ["RS256 by name only", `${b64({ ...header, alg: "RS256" })}.${body}.${signature}`],
      ["ES384 by name only", `${b64({ ...header, alg: "ES384" })}.${body}.${signature}`],
      ["es256 in lower case", es256({ ...header, alg: "es256" }, claims, own.key)],
      ["an unknown kid", es256({ ...header, kid: "nobody" }, claims, own.key)],
      ["no kid", es256({ alg: "ES256", typ: "JWT" }, claims, own.key)],
      ["a kid that is a path", es256({ ...header, kid: "../../../../dev/null" }, claims, own.key)],
      ["a kid that tries SQL", es256({ ...header, kid: "' OR 1=1 --" }, claims, own.key)],
      ["a kid that is a list", es256({ ...header, kid: [header.kid] }, claims, own.key)],
      ["a stranger's key", es256(header, claims, stranger.privateKey)],
      ["a stranger's key in the header", es256({ ...header, jwk: strangerJwk }, claims, stranger.privateKey)],
      ["a stranger's key in the header, without kid", es256({ alg: "ES256", jwk: strangerJwk }, claims, stranger.privateKey)],
      ["a key set elsewhere", es256({ ...header, jku: "http://127.0.0.1:1/jwks.json", kid: "s" }, claims, stranger.privateKey)],
      ["a header that is critical", es256({ ...header, crit: ["exp"] }, claims, own.key)],
      ["another tenant's key", es256(header, claims, other.key)],
      ["another tenant's key and kid", es256({ ...header, kid: other.kid }, claims, other.key)],
      ["another tenant's token", beta.admin.token!],
      ["another tenant's issuer", es256(header, { ...claims, iss: "apprun/beta" }, own.key)],
      ["another audience", es256(header, { ...claims, aud: "somebody" }, own.key)],
      ["an audience list", es256(header, { ...claims, aud: ["apprun"] }, own.key)],
      ["expired", es256(header, { ...claims, iat: now - 1000, exp: now - 1 }, own.key)],
      ["no end", es256(header, { ...claims, exp: undefined }, own.key)],
      ["an end that is a text", es256(header, { ...claims, exp: String(now + 600) }, own.key)],
      ["an end that is a fraction of nothing", es256(header, { ...claims, exp: 1e300 }, own.key)],
      ["not yet", es256(header, { ...claims, nbf: now + 3600 }, own.key)],
      ["from the future", es256(header, { ...claims, iat: now + 3600, exp: now + 7200 }, own.key)],
      ["an altered subject", `${head}.${b64({ ...claims, sub: alpha.ids.user })}.${signature}`],
      ["an altered end", `${head}.${b64({ ...claims, exp: claims.exp + 3600 })}.${signature}`],
      ["another subject, rightly signed, with this session", es256(header, { ...claims, sub: alpha.ids.user }, own.key)],
      ["no such session", es256(header, { ...claims, sid: "01960000-0000-7000-8000-000000000000" }, own.key)],
      ["no session", es256(header, { ...claims, sid: undefined }, own.key)],
      ["a session that is no id", es256(header, { ...claims, sid: "' OR 1=1 --" }, own.key)],
      ["claims that are a list", es256(header, [claims], own.key)],
      ["claims that are no JSON", es256(header, "hello", own.key)],
      ["claims with a key twice", (() => {
        const text = `${b64(header)}.${b64(`{"exp":1,${JSON.stringify(claims).slice(1)}`)}`;
        return `${text}.${sign("sha256", Buffer.from(text), { key: own.key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
      })()],
      ["a flipped bit", `${head}.${body}.${flipped.toString("base64url")}`],
      ["a signature in DER", `${head}.${body}.${sign("sha256", Buffer.from(`${head}.${body}`), own.key).toString("base64url")}`],
      ["a signature of zeros", `${head}.${body}.${Buffer.alloc(64).toString("base64url")}`],
      ["r and s of the group's order", `${head}.${body}.${Buffer.concat([n, n]).toString("base64url")}`],
      ["a padded signature", `${head}.${body}.${signature}==`],
      ["a signature one byte short", `${head}.${body}.${Buffer.from(signature, "base64url").subarray(0, 63).toString("base64url")}`],
      ["a signature one byte long", `${head}.${body}.${Buffer.concat([Buffer.from(signature, "base64url"), Buffer.alloc(1)]).toString("base64url")}`],
      ["characters outside of base64url", `${head}.${body}.${signature.slice(0, -2)}+/`],
      ["a letter more", `${good}A`],
      ["a letter less", good.slice(0, -1)],
      ["depth in the header", `${b64('{"a":'.repeat(1000) + "1" + "}".repeat(1000))}.${body}.${signature}`],
      ["10 KB of token", "a".repeat(10_000)],
      ["dots", "...."],
      ["nothing", ""],
      ["the word null", "null"],
      ["a refresh token", await refreshToken()],
      ["another tenant's API key", beta.keyText],
      ["an API key with an altered secret", alpha.keyText.slice(0, -1) + (alpha.keyText.endsWith("a") ? "b" : "a")],
      ["an API key without a secret", alpha.keyText.slice(0, alpha.keyText.lastIndexOf("_") + 1)],
      ["an API key's name only", alpha.keyText.slice(0, 40)],
      ["another key's secret", `ark_${alpha.ids.key}_${beta.keyText.split("_").pop()}`],
      ["an API key that tries SQL", `ark_' OR 1=1 --_x`],
      ["an API key with a NUL's worth of percent", `ark_%00`],
      ["the operators' token", server.platformToken],
    ];
  }

  async function refreshToken(): Promise<string> {
    const session = await alpha.anyone.post("/auth/login", { email: `member@alpha.example`, password: `pw-member-alpha-1` });
    return session.body.refreshToken;
  }

  const bodies = (route: Route): [string | undefined, Record<string, string>] =>
    route.method === "GET" || route.method === "DELETE" ? [undefined, {}] : ["{}", { "content-type": "application/json" }];

  describe("a token that is not good", () => {
    it("is 401 on every route, also on the open ones, and changes nothing", async () => {
      const forged = await forgeries();
      const before = await dump(server);
      const work = routes.flatMap((route, i) => forged.map(([name, token], k) => ({ route, name, token, language: languages[(i + k) % 2] })));
      expect(work.length).toBeGreaterThan(4000);
      await forAll(
        work,
        async ({ route, token, language }) => {
          const [body, headers] = bodies(route);
          const answer = await wire.send(route.method, pathOf(alpha, route), body, { ...headers, authorization: `Bearer ${token}`, "accept-language": language });
          expectProblem(answer, { status: 401, code: "unauthorized", language });
          expect(Object.keys(answer.json).sort()).toEqual(["code", "instance", "status", "title", "type"]); // no reason
          expect(answer.headers["www-authenticate"]).toBe("Bearer");
        },
        ({ route, name }) => `${route.name}, ${name}`,
      );
      expectUnchanged(before, await dump(server));
    });

    it("is 401 under the operators' routes as well", async () => {
      const all = await forgeries(); // signs in once for a refresh token
      const before = await dump(server);
      const forged = [...all.filter(([name]) => name !== "the operators' token"), ["an administrator's token", alpha.admin.token!], ["a key", alpha.keyText]];
      await forAll(
        forged,
        async ([, token]) => {
          for (const [method, path, body] of [["GET", "/platform/v1/tenants", undefined], ["POST", "/platform/v1/tenants", '{"name":"gamma"}'], ["DELETE", "/platform/v1/tenants/beta", undefined]] as const)
            expectProblem(await wire.send(method, path, body, { authorization: `Bearer ${token}`, ...(body ? { "content-type": "application/json" } : {}) }), { status: [401, 404], code: /^(unauthorized|not-found)$/ });
        },
        ([name]) => name,
      );
      expectUnchanged(before, await dump(server));
    });

    it("cannot be helped by the way it is sent", async () => {
      const token = alpha.admin.token!;
      for (const header of [`Basic ${Buffer.from(`x:${token}`).toString("base64")}`, `Digest ${token}`, token, `Bearer`, `Bearer  `, `Bearer ${token} x`, `Bearer ${token},${token}`, `Token ${token}`])
        expectProblem(await wire.send("GET", `${alpha.prefix}/auth/me`, undefined, { authorization: header }), { status: 401, code: "unauthorized" });
      for (const query of [`access_token=${token}`, `token=${token}`, `Authorization=Bearer%20${token}`])
        expectProblem(await wire.send("GET", `${alpha.prefix}/auth/me?${query}`), { status: 401, code: "unauthorized" });
      expectProblem(await wire.send("GET", `${alpha.prefix}/auth/me`, undefined, { cookie: `token=${token}; session=${token}` }), { status: 401 });
      expectProblem(await wire.send("GET", `${alpha.prefix}/auth/users`, undefined, { "x-http-method-override": "POST", "x-forwarded-user": "admin", "x-original-url": "/platform/v1/tenants" }), { status: 401 });
      // two headers that disagree: whichever counts, nobody may choose
      const twice = await raw(server.port, `GET ${alpha.prefix}/auth/me HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nAuthorization: Bearer ${beta.admin.token}\r\nConnection: close\r\n\r\n`);
      expect(twice.text).toMatch(/^HTTP\/1\.1 40[01] /);
    });
  });

  describe("a token of a member without roles", () => {
    it("is 403 wherever a permission is asked for, before the input is looked at", async () => {
      const before = await dump(server);
      const guarded = routes.filter((route) => !["-", "+", ""].includes(route.allow));
      expect(guarded.length).toBeGreaterThan(40);
      await forAll(
        guarded.flatMap((route, i) => ["{}", "{", '{"zzz":1}'].map((body) => ({ route, body, language: languages[i % 2] }))),
        async ({ route, body, language }) => {
          const answer = await wire.send(route.method, pathOf(alpha, route), route.method === "GET" ? undefined : body, {
            "content-type": "application/json",
            authorization: `Bearer ${alpha.member.token}`,
            "accept-language": language,
          });
          expectProblem(answer, { status: 403, code: "forbidden", language });
        },
        ({ route, body }) => `${route.name}, ${body}`,
      );
      expectUnchanged(before, await dump(server));
    });

    it("is 401 without a token, in the asked language", async () => {
      await forAll(
        routes.filter((route) => !["-", ""].includes(route.allow)).flatMap((route) => languages.map((language) => ({ route, language }))),
        async ({ route, language }) => {
          const [body, headers] = bodies(route);
          expectProblem(await wire.send(route.method, pathOf(alpha, route), body, { ...headers, "accept-language": language }), { status: 401, code: "unauthorized", language });
        },
        ({ route }) => route.name,
      );
    });

    it("cannot give itself more", async () => {
      const before = await dump(server);
      const tries: [string, string, unknown][] = [
        ["PATCH", "/auth/me", { roles: ["admin"] }],
        ["PATCH", "/auth/me", { permissions: ["*"] }],
        ["PATCH", "/auth/me", { verified: true }],
        ["PATCH", `/auth/users/${alpha.member.id}`, { roles: ["admin"] }],
        ["POST", "/auth/signup", { email: "evil@alpha.example", password: "pw-evil-evil-1", roles: ["admin"] }],
        ["POST", "/auth/keys", { name: "mine", permissions: ["*"] }],
        ["POST", "/auth/roles", { name: "mine", permissions: ["*"] }],
        ["DELETE", `/auth/sessions/${alpha.ids.session}`, undefined],
      ];
      for (const [method, path, body] of tries) {
        const answer = await wire.send(method, alpha.prefix + path, body === undefined ? undefined : JSON.stringify(body), {
          authorization: `Bearer ${alpha.member.token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        });
        expectProblem(answer, { status: [403, 404, 422] });
      }
      expectUnchanged(before, await dump(server));
    });
  });

  describe("what was revoked", () => {
    const signIn = async () => (await alpha.anyone.post("/auth/login", { email: "member@alpha.example", password: "pw-member-alpha-1" })).body;
    const me = (token: string) => wire.send("GET", `${alpha.prefix}/auth/me`, undefined, { authorization: `Bearer ${token}` });

    // the documented second, on both loops: twenty requests over eight connections
    async function refusedSoon(token: string, path = "/auth/me"): Promise<void> {
      const start = Date.now();
      for (;;) {
        const asked = Date.now();
        const answers = await Promise.all(Array.from({ length: 20 }, () => wire.send("GET", alpha.prefix + path, undefined, { authorization: `Bearer ${token}` })));
        if (answers.every((answer) => answer.status === 401)) return;
        if (asked - start > 1000) expect.fail(`still let in after a second: ${answers.map((a) => a.status)}`);
        await sleep(50);
      }
    }

    it("signing out ends the token and its refresh token", async () => {
      const session = await signIn();
      for (let i = 0; i < 20; i++) expect((await me(session.accessToken)).status).toBe(200);
      expect((await wire.send("POST", `${alpha.prefix}/auth/logout`, undefined, { authorization: `Bearer ${session.accessToken}` })).status).toBe(204);
      await refusedSoon(session.accessToken);
      const again = await wire.send("POST", `${alpha.prefix}/auth/refresh`, JSON.stringify({ refreshToken: session.refreshToken }), { "content-type": "application/json" });
      expectProblem(again, { status: 401 });
    });

    it("revoking one session leaves the others", async () => {
      const [one, two] = [await signIn(), await signIn()];
      const sid = parts(one.accessToken).claims.sid;
      expect((await me(one.accessToken)).status).toBe(200);
      expect((await wire.send("DELETE", `${alpha.prefix}/auth/sessions/${sid}`, undefined, { authorization: `Bearer ${two.accessToken}` })).status).toBe(204);
      await refusedSoon(one.accessToken);
      expect((await me(two.accessToken)).status).toBe(200);
    });

    it("a refresh token used twice ends its session", async () => {
      const session = await signIn();
      const body = JSON.stringify({ refreshToken: session.refreshToken });
      const headers = { "content-type": "application/json" };
      const fresh = await wire.send("POST", `${alpha.prefix}/auth/refresh`, body, headers);
      expect(fresh.status).toBe(200);
      expectProblem(await wire.send("POST", `${alpha.prefix}/auth/refresh`, body, headers), { status: 401, code: "auth/refresh-token-reused" });
      await refusedSoon(fresh.json.accessToken);
      expectProblem(await wire.send("POST", `${alpha.prefix}/auth/refresh`, JSON.stringify({ refreshToken: fresh.json.refreshToken }), headers), { status: 401 });
    });

    it("a user who is disabled or deleted is out", async () => {
      const made = await alpha.admin.post("/auth/users", { email: "gone@alpha.example", password: "pw-gone-gone-1" });
      const session = (await alpha.anyone.post("/auth/login", { email: "gone@alpha.example", password: "pw-gone-gone-1" })).body;
      expect((await me(session.accessToken)).status).toBe(200);
      expect((await alpha.admin.patch(`/auth/users/${made.body.id}`, { disabled: true })).status).toBe(200);
      await refusedSoon(session.accessToken);
      expectProblem(await wire.send("POST", `${alpha.prefix}/auth/login`, JSON.stringify({ email: "gone@alpha.example", password: "pw-gone-gone-1" }), { "content-type": "application/json" }), { status: 401, code: "auth/credentials" });
      expect((await alpha.admin.delete(`/auth/users/${made.body.id}`)).status).toBe(204);
      await refusedSoon(session.accessToken);
    });

    it("an API key that is deleted or over is out", async () => {
      const made = await alpha.admin.post("/auth/keys", { name: "short", permissions: ["auth.users.read"] });
      const get = (key: string) => wire.send("GET", `${alpha.prefix}/auth/users`, undefined, { authorization: `Bearer ${key}` });
      expect((await get(made.body.key)).status).toBe(200);
      expect((await alpha.admin.delete(`/auth/keys/${made.body.id}`)).status).toBe(204);
      await refusedSoon(made.body.key, "/auth/users");
      const expires = Date.now() + 4000;
      const over = await alpha.admin.post("/auth/keys", { name: "over", permissions: ["auth.users.read"], expires: new Date(expires).toISOString() });
      expect(over.status).toBe(201);
      const soon = (await get(over.body.key)).status;
      if (Date.now() < expires) expect(soon).toBe(200);
      await sleep(expires + 100 - Date.now());
      await refusedSoon(over.body.key, "/auth/users");
    });

    it("a changed password ends the other sessions", async () => {
      await alpha.admin.post("/auth/users", { email: "careful@alpha.example", password: "pw-careful-1" });
      const login = async (password: string) => (await alpha.anyone.post("/auth/login", { email: "careful@alpha.example", password })).body;
      const [one, two] = [await login("pw-careful-1"), await login("pw-careful-1")];
      expect((await me(one.accessToken)).status).toBe(200);
      const changed = await wire.send("POST", `${alpha.prefix}/auth/password`, JSON.stringify({ current: "pw-careful-1", password: "pw-careful-2" }), {
        "content-type": "application/json",
        authorization: `Bearer ${two.accessToken}`,
      });
      expect(changed.status, changed.text).toBeLessThan(300);
      await refusedSoon(one.accessToken);
      expect((await me(two.accessToken)).status).toBe(200);
    });
  });
});
