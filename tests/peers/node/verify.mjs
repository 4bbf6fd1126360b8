// Verifies one webhook by standardwebhooks: {"secret", "body", "headers"} on stdin, the payload or
// the name of the error on stdout.
import { readFileSync } from "node:fs";
import { Webhook } from "standardwebhooks";

const { secret, body, headers } = JSON.parse(readFileSync(0, "utf8"));
try {
  console.log(JSON.stringify(new Webhook(secret).verify(body, headers)));
} catch (error) {
  console.log(error.name);
}
