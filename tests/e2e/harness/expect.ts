// What a reply must be.
import { expect } from "vitest";
import type { Reply } from "./client.js";

export function must(reply: Reply, status: number): any {
  expect(reply.status, reply.text).toBe(status);
  return reply.body;
}

export function problem(reply: Reply, status: number, code: string): any {
  must(reply, status);
  expect(reply.headers.get("content-type")).toBe("application/problem+json");
  expect(reply.body.code).toBe(code);
  return reply.body;
}
