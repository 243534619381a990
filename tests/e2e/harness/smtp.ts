// A real SMTP server that keeps what it accepted.
import { SMTPServer } from "smtp-server";
import { simpleParser, type ParsedMail } from "mailparser";

export interface Sink {
  port: number;
  mails: ParsedMail[];
  refuse: { times: number; code: number }; // the next mails get this answer
  close(): Promise<void>;
}

export async function smtpSink(): Promise<Sink> {
  const mails: ParsedMail[] = [];
  const refuse = { times: 0, code: 451 };
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ["STARTTLS"],
    maxClients: 200,
    logger: false,
    onData(stream, _session, done) {
      const parts: Buffer[] = [];
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("end", () => {
        if (refuse.times > 0) {
          refuse.times--;
          done(Object.assign(new Error("try again later"), { responseCode: refuse.code }));
          return;
        }
        simpleParser(Buffer.concat(parts)).then((mail) => {
          mails.push(mail);
          done();
        }, done);
      });
    },
  });
  server.on("error", () => {}); // a client that was killed in the middle
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", () => ready()));
  return {
    port: (server.server.address() as { port: number }).port,
    mails,
    refuse,
    close: () => new Promise((done) => server.close(() => done())),
  };
}
