// Probot's own server with nothing to do: no log, no handler for the event that the benchmark sends, nothing stored.
import { generateKeyPairSync } from "node:crypto";
import { Probot, Server } from "probot";
import { pino } from "pino";

const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs1", format: "pem" },
  publicKeyEncoding: { type: "pkcs1", format: "pem" },
});
const log = pino({ level: "silent" });
const server = new Server({
  log,
  host: "127.0.0.1",
  port: Number(process.env.PORT ?? 0) || 31999,
  Probot: Probot.defaults({ appId: 1, privateKey, secret: process.env.WEBHOOK_SECRET, log }),
});
await server.load((app) => {
  app.on("ping", () => {});
});
await server.start();
console.log(`port ${server.port}`);
process.stdin.on("end", () => process.exit(0)).resume();
