// Starts the real apprun in a folder of its own, on a free port, and stops it by pid.
import { spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, existsSync, openSync, closeSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

export const root = resolve(import.meta.dirname ?? __dirname, "../../..");
export const binary = process.env.APPRUN ?? join(root, "build/apprun");

// Below the ports that outgoing connections get: those that ask for a server that is down could be given
// its own port, and would then talk to themselves and keep it from coming back.
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const free = await new Promise<boolean>((done) => {
      const probe = createServer();
      probe.once("error", () => done(false));
      probe.listen(port, "127.0.0.1", () => probe.close(() => done(true)));
    });
    if (free) return port;
  }
}

export interface ServerOptions {
  data?: string; // a folder to go on with; otherwise a new one that stop() removes
  args?: string[];
  env?: Record<string, string>;
  killAfter?: number; // ms: the first process is killed then, and the second one is the server
}

export class Server {
  process!: ChildProcess;
  port = 0;
  readonly data: string;
  private readonly own: boolean;

  private constructor(private readonly options: ServerOptions) {
    this.own = options.data === undefined;
    this.data = options.data ?? mkdtempSync(join(tmpdir(), "apprun-e2e-"));
  }

  static async start(options: ServerOptions = {}): Promise<Server> {
    const server = new Server(options);
    server.port = await freePort();
    if (options.killAfter !== undefined) {
      server.launch();
      await sleep(options.killAfter);
      await server.kill("SIGKILL");
    }
    for (let tries = 1; ; tries++)
      try {
        await server.up();
        return server;
      } catch (error) {
        // somebody else took the port since it was free
        if (tries === 5 || !/cannot listen|in use/i.test(server.log)) throw error;
        server.port = await freePort();
      }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get logFile(): string {
    return join(this.data, "..", `${this.data.split("/").pop()}.log`);
  }

  get log(): string {
    return existsSync(this.logFile) ? readFileSync(this.logFile, "utf8") : "";
  }

  get platformToken(): string {
    return readFileSync(join(this.data, "platform-token"), "utf8").trim();
  }

  async up(): Promise<void> {
    this.launch();
    await this.ready();
  }

  // bcrypt is slow by design; tests of other things use its smallest cost
  launch(): void {
    const log = openSync(this.logFile, "a");
    this.process = spawn(
      binary,
      ["serve", "--port", String(this.port), "--data", this.data, "--bcrypt-cost", "4", ...(this.options.args ?? [])],
      { stdio: ["ignore", log, log], env: { ...process.env, ...this.options.env } },
    );
    closeSync(log);
  }

  async ready(): Promise<void> {
    const until = Date.now() + 180_000;
    while (Date.now() < until) {
      if (this.process.exitCode !== null || this.process.signalCode !== null)
        throw new Error(`apprun ended at its start:\n${this.log.slice(-4000)}`);
      try {
        if ((await fetch(`${this.url}/readyz`)).status === 200) return;
      } catch {
        /* not listening yet */
      }
      await sleep(20);
    }
    throw new Error(`apprun is not ready:\n${this.log.slice(-4000)}`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return this.process.exitCode;
    const ended = new Promise<number | null>((done) => this.process.once("exit", (code) => done(code)));
    this.process.kill(signal);
    return ended;
  }

  // A clean stop must be one: exit code 0 and nothing from the sanitizers in the log.
  async stop(): Promise<void> {
    const code = await this.kill("SIGTERM");
    const log = this.log;
    if (this.own) {
      rmSync(this.data, { recursive: true, force: true });
      rmSync(this.logFile, { force: true });
    }
    if (code !== 0 || /AddressSanitizer|runtime error:|LeakSanitizer/.test(log))
      throw new Error(`apprun did not stop cleanly (${code}):\n${log.slice(-6000)}`);
  }
}
