// Verifies webhooks as their receivers do, with the npm packages standardwebhooks,
// svix, stripe and @octokit/webhooks-methods, and for the schemes pair and hex with
// Node's own crypto. Reads and prints what verify.py does.
const crypto = require("node:crypto");
const std = require("standardwebhooks");
const svix = require("svix");
const Stripe = require("stripe");

const realNow = Date.now;

function library(Webhook, Failure) {
  return (c, body) => {
    Date.now = () => realNow() + 1000 * c.late;
    try {
      new Webhook(c.key).verify(body, c.headers);
      return true;
    } catch (e) {
      if (e instanceof Failure) return false;
      throw e;
    } finally {
      Date.now = realNow;
    }
  };
}

function pair(c, body) {
  const stamp = c.headers["webhook-timestamp"];
  if (Math.abs(realNow() / 1000 + c.late - Number(stamp)) > 300) return false;
  const raw = Buffer.from(c.key.replace(/^whpk_/, ""), "base64");
  const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw]);
  const key = crypto.createPublicKey({ key: der, format: "der", type: "spki" });
  const signed = Buffer.concat([Buffer.from(`${c.headers["webhook-id"]}.${stamp}.`), body]);
  return c.headers["webhook-signature"]
    .split(" ")
    .some((entry) => entry.startsWith("v1a,") && crypto.verify(null, signed, key, Buffer.from(entry.slice(4), "base64")));
}

function hex(c, body) {
  const want = crypto.createHmac("sha256", c.key).update(body).digest();
  const got = Buffer.from(c.headers["X-CV-Signature"] || "", "hex");
  return got.length === want.length && crypto.timingSafeEqual(got, want);
}

const stripeLibrary = new Stripe("sk_test_none");

function stripe(c, body) {
  try {
    stripeLibrary.webhooks.constructEvent(body, c.headers["X-Signature"], c.key, 300, undefined, realNow() + 1000 * c.late);
    return true;
  } catch (e) {
    if (e.type === "StripeSignatureVerificationError") return false;
    throw e;
  }
}

// esm loads a package that is only a module: for those Node does not look into
// NODE_PATH.
function esm(name) {
  const path = require("node:path");
  const folder = path.join(process.env.NODE_PATH, name);
  const entry = require(path.join(folder, "package.json")).exports["."];
  const file = (entry.node || entry).import || entry.default;
  return import(require("node:url").pathToFileURL(path.join(folder, file)).href);
}

async function main() {
  const octokit = await esm("@octokit/webhooks-methods");
  const schemes = {
    standard: library(std.Webhook, std.WebhookVerificationError),
    svix: library(svix.Webhook, svix.WebhookVerificationError),
    pair,
    hex,
    stripe,
    octokit: (c, body) => octokit.verify(c.key, body.toString("utf8"), c.headers["X-Hub-Signature-256"]),
  };
  const out = [];
  for (const c of JSON.parse(require("node:fs").readFileSync(0, "utf8"))) {
    out.push(await schemes[c.scheme](c, Buffer.from(c.body, "base64")));
  }
  console.log(JSON.stringify(out));
}

main();
