// The page at the root, as a person sees it: Debian's Chromium, no outside address.
import { chromium, type Browser, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Server } from "../harness/server.js";
import { newTenant, type Tenant } from "../harness/client.js";

let server: Server, browser: Browser, tenant: Tenant;

beforeAll(async () => {
  server = await Server.start();
  tenant = await newTenant(server, "acme");
  await tenant.admin.post("/collections", { name: "birds", fields: [{ name: "name", type: "text", required: true }] });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--headless", "--no-sandbox"] });
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

// A page that fails the test when it asks another host, breaks its own policy or throws.
async function open(path: string, locale = "en-US"): Promise<{ page: Page; faults: string[] }> {
  const context = await browser.newContext({ locale });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("request", (request) => {
    if (!request.url().startsWith(server.url) && !/^(data|blob):/.test(request.url())) faults.push(request.url());
  });
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) faults.push(message.text());
  });
  await page.goto(server.url + path);
  return { page, faults };
}

describe("the API reference", () => {
  it("shows the tenant's operations and fetches nothing from elsewhere", async () => {
    const { page, faults } = await open("/t/acme");
    await page.waitForSelector(".opblock-tag");
    const tags = await page.locator(".opblock-tag").allInnerTexts();
    for (const tag of ["auth", "data", "storage", "function", "workflow"]) expect(tags.join(" ")).toContain(tag);
    await page.locator(".opblock-tag", { hasText: "auth" }).click();
    await page.getByText("/auth/login", { exact: true }).waitFor();
    expect(faults).toEqual([]);
  });

  it("signs in and tries an operation with the token", async () => {
    const { page, faults } = await open("/t/acme");
    await page.waitForSelector(".opblock-tag");
    await page.fill("#email", tenant.email);
    await page.fill("#password", tenant.password);
    await page.click("#sign-in-form button");
    await page.getByText(`Signed in as ${tenant.email}`).waitFor();
    expect(await page.inputValue("#password")).toBe("");
    await page.locator(".opblock-tag", { hasText: "auth" }).click();
    const me = page.locator(".opblock-get", { has: page.getByText("/auth/me", { exact: true }) });
    await me.locator(".opblock-summary").click();
    await me.getByRole("button", { name: "Try it out" }).click();
    await me.getByRole("button", { name: "Execute" }).click();
    await me.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
    expect(await me.locator(".live-responses-table").innerText()).toContain(tenant.email);
    expect(faults).toEqual([]);
  });

  it("says it when the password is wrong, in the reader's language", async () => {
    const { page, faults } = await open("/t/acme", "zh-CN");
    await page.waitForSelector(".opblock-tag");
    await page.fill("#email", tenant.email);
    await page.fill("#password", "not the password");
    await page.click("#sign-in-form button");
    await page.getByText("邮箱或密码不正确。").waitFor();
    expect(faults).toEqual([]);
  });

  it("says it when there is no such tenant", async () => {
    const { page, faults } = await open("/t/nobody");
    await page.getByText("There is no tenant of this name.").waitFor();
    expect(faults).toEqual([]);
  });

  it("is answered 304 when it has not changed, and 404 beside it", async () => {
    const first = await fetch(`${server.url}/`);
    expect(first.status).toBe(200);
    expect(first.headers.get("content-security-policy")).toContain("default-src 'none'");
    const again = await fetch(`${server.url}/`, { headers: { "if-none-match": first.headers.get("etag")! } });
    expect(again.status).toBe(304);
    const missing = await fetch(`${server.url}/_/nothing.js`);
    expect(missing.status).toBe(404);
    expect((await missing.json()).code).toBe("not-found");
  });
});
