// A PostgreSQL of a test's own, by tests/harness/postgres.sh.
import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "./server.js";

function script(...words: string[]): string {
  return execFileSync(join(root, "tests/harness/postgres.sh"), words, {
    encoding: "utf8",
    env: { ...process.env, PG_OPTIONS: "-F" }, // without fsync: it is apprun that is killed, not the machine
    stdio: ["ignore", "pipe", "inherit"],
  }).trim();
}

export class Postgres {
  private constructor(
    private readonly folder: string,
    readonly url: string,
  ) {}

  static start(): Postgres {
    const folder = mkdtempSync(join(tmpdir(), "apprun-pg-"));
    chmodSync(folder, 0o755); // its server runs as another user
    try {
      return new Postgres(folder, script("start", folder));
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get args(): string[] {
    return ["--store", this.url];
  }

  stop(): void {
    script("stop", this.folder, "immediate");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
