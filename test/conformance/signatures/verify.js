// Verifies webhooks as their receivers do, with the npm package
// standardwebhooks and, for the scheme hex, Node's own crypto. Reads and prints
// what verify.py does.
const crypto = require("node:crypto");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const realNow = Date.now;

function standard(c, body) {
  Date.now = () => realNow() + 1000 * c.late;
  try {
    new Webhook(c.secret).verify(body, c.headers);
    return true;
  } catch (e) {
    if (e instanceof WebhookVerificationError) return false;
    throw e;
  } finally {
    Date.now = realNow;
  }
}

function hex(c, body) {
  const want = crypto.createHmac("sha256", c.secret).update(body).digest();
  const got = Buffer.from(c.headers["X-CV-Signature"] || "", "hex");
  return got.length === want.length && crypto.timingSafeEqual(got, want);
}

const cases = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const schemes = { standard, hex };
console.log(JSON.stringify(cases.map((c) => schemes[c.scheme](c, Buffer.from(c.body, "base64")))));
