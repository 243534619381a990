// i18n over real sockets, held against others who know: CLDR's own samples of every plural rule, and the Intl of
// the JavaScript engine for numbers, money and dates.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { newTenant, type Tenant } from "./harness/client.js";
import { must } from "./harness/expect.js";
import { Server } from "./harness/server.js";
import { eachOf } from "./harness/wait.js";

let server: Server, tenant: Tenant;

beforeAll(async () => {
  server = await Server.start();
  tenant = await newTenant(server, "words");
});

afterAll(async () => {
  await server?.stop();
});

const translate = async (key: string, locale: string, args: object) => {
  const query = new URLSearchParams({ key, locale, args: JSON.stringify(args) });
  return must(await tenant.anyone.get(`/i18n/translate?${query}`), 200);
};

// "n = 1 @integer 1, 21~24, 101, … @decimal 1.5, 2.5": the numbers that JSON can say (1.0 is 1, 1c6 is none)
function samples(rule: string): number[] {
  const numbers: number[] = [];
  for (const part of rule.split("@").slice(1))
    for (const text of part.replace(/^\w+/, "").split(",")) {
      const range = text.trim();
      if (range === "" || range === "…" || /c/.test(range) || /\.\d*0(~|$)/.test(range)) continue;
      const [from, to] = range.split("~");
      numbers.push(Number(from));
      if (to !== undefined) numbers.push(Number(to));
    }
  return numbers;
}

describe("plurals", () => {
  for (const type of ["plurals", "ordinals"] as const)
    it(`are CLDR's, in all of its locales: ${type}`, async () => {
      const require = createRequire(import.meta.url);
      const cldr = JSON.parse(readFileSync(require.resolve(`cldr-core/supplemental/${type}.json`), "utf8"));
      const rules: Record<string, Record<string, string>> = cldr.supplemental[type === "plurals" ? "plurals-type-cardinal" : "plurals-type-ordinal"];
      const kind = type === "plurals" ? "plural" : "selectordinal";
      const cases = ["zero", "one", "two", "few", "many", "other"].map((c) => `${c} {${c}}`).join(" ");
      const locales = Object.keys(rules).filter((l) => l !== "root" && l !== "und");
      let compared = 0;

      expect(locales.length).toBeGreaterThan(100);
      must(await tenant.admin.put(`/i18n/messages/en/${type}`, { text: `{n, ${kind}, ${cases}}` }), 200);
      await eachOf(locales, 16, async (locale) => {
        must(await tenant.admin.put(`/i18n/messages/${locale}/${type}`, { text: `{n, ${kind}, ${cases}}` }), 200);
        for (const [name, rule] of Object.entries(rules[locale]))
          for (const n of samples(rule)) {
            const answer = await translate(type, locale, { n });
            expect(answer.text, `${locale} ${n}`).toBe(name.replace(/pluralRule-count-/, ""));
            compared++;
          }
      });
      console.log(`${type}: ${compared} numbers in ${locales.length} locales`);
      expect(compared).toBeGreaterThan(1000);
    });
});

describe("formats", () => {
  const locales = ["en", "zh-CN", "de", "fr", "ru", "ar-EG", "hi", "ja", "pt-BR", "de-CH"];
  // spaces of one kind or another change between releases of CLDR
  const even = (s: string) => s.replace(/[\s\u00a0\u202f\u200e\u200f\u061c]/g, " ").replace(/ +/g, " ").replaceAll("\u2019", "'").trim();
  const format = async (input: object) => even(must(await tenant.admin.post("/i18n/format", input), 200).text);

  it("of numbers and money are those of Intl", async () => {
    for (const locale of locales)
      for (const value of [0, 1, -1, 0.5, 1234.5, 1234567.891, -0.005, 1e12]) {
        expect(await format({ kind: "number", value, locale }), locale).toBe(even(new Intl.NumberFormat(locale).format(value)));
        for (const currency of ["CNY", "EUR", "JPY", "USD"])
          expect(await format({ kind: "currency", currency, value, locale }), locale).toBe(even(new Intl.NumberFormat(locale, { style: "currency", currency }).format(value)));
        expect(await format({ kind: "percent", value, locale }), locale).toBe(even(new Intl.NumberFormat(locale, { style: "percent" }).format(value)));
      }
  });

  it("of dates and times are those of Intl, in every zone", async () => {
    const zones = ["UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"];
    // around the changes of clocks in 2026, a leap day, the epoch
    const moments = ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-10-25T00:30:00Z", "2026-11-01T06:30:00Z", "2028-02-29T12:00:00Z", "1970-01-01T00:00:00Z"];
    for (const locale of ["en", "zh-CN", "de", "fr", "ru", "ja"])
      for (const timeZone of zones)
        for (const value of moments) {
          const wanted = new Intl.DateTimeFormat(locale, { dateStyle: "short", timeStyle: "short", timeZone }).format(new Date(value));
          expect(await format({ kind: "datetime", value, locale, timeZone, style: "short" }), `${locale} ${timeZone} ${value}`).toBe(even(wanted));
        }
  });
});

describe("errors of the product", () => {
  it("come in the language asked for, with the same code", async () => {
    const ask = (language: string) => tenant.admin.put("/i18n/messages/de/x", { text: "{n, plural, one {x}}" }, { "accept-language": language });
    const en = await ask("en"), zh = await ask("zh-CN,zh;q=0.9");
    expect(en.status).toBe(422);
    expect(zh.body.code).toBe(en.body.code);
    expect(en.body.code).toBe("i18n/pattern");
    expect(zh.body.title).toMatch(/[\u4e00-\u9fff]/);
    expect(en.body.title).not.toMatch(/[\u4e00-\u9fff]/);
  });
});
