// A real SMTP server that keeps what it accepted.
import { SMTPServer } from "smtp-server";
import { simpleParser, type ParsedMail } from "mailparser";

export type Kept = ParsedMail & { generation: number };

export interface Sink {
  port: number;
  mails: Kept[];
  generation: number; // counted up by who restarts the sender; a mail has that of its MAIL FROM
  refuse: { times: number; code: number }; // the next mails get this answer
  close(): Promise<void>;
}

export async function smtpSink(): Promise<Sink> {
  const mails: Kept[] = [];
  const refuse = { times: 0, code: 451 };
  const generations = new WeakMap<object, number>();
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    maxClients: 200,
    logger: false,
    onMailFrom(_address, session, done) {
      generations.set(session, sink.generation);
      done();
    },
    onData(stream, session, done) {
      const generation = generations.get(session)!;
      const parts: Buffer[] = [];
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("end", () => {
        if (refuse.times > 0) {
          refuse.times--;
          done(Object.assign(new Error("try again later"), { responseCode: refuse.code }));
          return;
        }
        simpleParser(Buffer.concat(parts)).then((mail) => {
          mails.push(Object.assign(mail, { generation }));
          done();
        }, done);
      });
    },
  });
  const sink: Sink = {
    port: 0,
    mails,
    generation: 0,
    refuse,
    close: () => new Promise((done) => server.close(() => done())),
  };
  server.on("error", () => {}); // a client that was killed in the middle
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", () => ready()));
  sink.port = (server.server.address() as { port: number }).port;
  return sink;
}
