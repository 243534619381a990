// A caller of one tenant's API: plain fetch, JSON in and out, nothing hidden.
import type { Server } from "./server.js";

export interface Reply<T = any> {
  status: number;
  headers: Headers;
  body: T;
  text: string;
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail?: string;
  instance: string;
  fields?: Record<string, { code: string; message: string }>;
}

export class Client {
  constructor(
    readonly base: string,
    public token?: string,
    readonly extra: Record<string, string> = {},
  ) {}

  as(token: string | undefined): Client {
    return new Client(this.base, token, this.extra);
  }

  with(headers: Record<string, string>): Client {
    return new Client(this.base, this.token, { ...this.extra, ...headers });
  }

  async call<T = any>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply<T>> {
    const raw = typeof body === "string" || body instanceof Uint8Array;
    const reply = await fetch(this.base + path, {
      method,
      headers: {
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...(body !== undefined && !raw ? { "content-type": "application/json" } : {}),
        ...this.extra,
        ...headers,
      },
      body: body === undefined ? undefined : raw ? (body as BodyInit) : JSON.stringify(body),
      redirect: "manual",
    });
    const text = await reply.text();
    let parsed: any = undefined;
    if (/json/.test(reply.headers.get("content-type") ?? "")) parsed = JSON.parse(text);
    return { status: reply.status, headers: reply.headers, body: parsed, text };
  }

  get<T = any>(path: string, headers?: Record<string, string>) {
    return this.call<T>("GET", path, undefined, headers);
  }
  post<T = any>(path: string, body?: unknown, headers?: Record<string, string>) {
    return this.call<T>("POST", path, body, headers);
  }
  put<T = any>(path: string, body?: unknown, headers?: Record<string, string>) {
    return this.call<T>("PUT", path, body, headers);
  }
  patch<T = any>(path: string, body?: unknown, headers?: Record<string, string>) {
    return this.call<T>("PATCH", path, body, headers);
  }
  delete<T = any>(path: string, headers?: Record<string, string>) {
    return this.call<T>("DELETE", path, undefined, headers);
  }
}

export interface Tenant {
  name: string;
  admin: Client; // signed in as the first administrator
  anyone: Client;
  email: string;
  password: string;
}

export function platform(server: Server): Client {
  return new Client(`${server.url}/platform/v1`, server.platformToken);
}

// Makes a tenant through the operators' API and signs its administrator in.
export async function newTenant(server: Server, name: string): Promise<Tenant> {
  const made = await platform(server).post("/tenants", { name });
  if (made.status !== 201) throw new Error(`tenant ${name}: ${made.status} ${made.text}`);
  const { email, password } = made.body.admin;
  const anyone = new Client(`${server.url}/t/${name}/api/v1`);
  const session = await anyone.post("/auth/login", { email, password });
  if (session.status !== 200) throw new Error(`sign-in: ${session.status} ${session.text}`);
  return { name, email, password, anyone, admin: anyone.as(session.body.accessToken) };
}
