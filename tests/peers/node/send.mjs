// Sends one mail by nodemailer: {"port", "mail"} on stdin, the server's reply on stdout.
import { readFileSync } from "node:fs";
import { createTransport } from "nodemailer";

const { port, mail } = JSON.parse(readFileSync(0, "utf8"));
const transport = createTransport({ host: "127.0.0.1", port, secure: false, ignoreTLS: true });
const sent = await transport.sendMail(mail);
console.log(sent.response);
