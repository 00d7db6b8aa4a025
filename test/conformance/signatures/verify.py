"""Verifies webhooks as their receivers do.

Reads a list of cases as JSON from standard input, each {"key", "headers",
"body" (base64), "late" (seconds by which the receiver's clock is ahead),
"scheme"}, and prints a list of true and false.

standard, svix: the packages of that name, with their own check of the time stamp.
pair: PyNaCl, after the steps of docs/receivers.md.
hex: the function that CyberVault's documentation gives its customers.
"""

import base64
import datetime
import hashlib
import hmac
import json
import sys
import time

import nacl.exceptions
import nacl.signing
import standardwebhooks.webhooks as sw
import svix.webhooks


def ahead(seconds):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) + datetime.timedelta(seconds=seconds)

    return Clock


def library(make):
    def verify(case, body):
        sw.datetime = ahead(case["late"])  # svix verifies with standardwebhooks
        try:
            make(case["key"]).verify(body, case["headers"])
            return True
        except sw.WebhookVerificationError:
            return False

    return verify


def pair(case, body):
    headers = case["headers"]
    if abs(time.time() + case["late"] - int(headers["webhook-timestamp"])) > 300:
        return False
    key = nacl.signing.VerifyKey(base64.b64decode(case["key"].removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for entry in headers["webhook-signature"].split(" "):
        scheme, _, text = entry.partition(",")
        try:
            if scheme == "v1a" and key.verify(signed, base64.b64decode(text, validate=True)):
                return True
        except nacl.exceptions.BadSignatureError:
            pass
    return False


def verify_signature(payload, signature, secret):
    expected = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


def hexed(case, body):
    return verify_signature(body, case["headers"].get("X-CV-Signature", ""), case["key"])


schemes = {"standard": library(sw.Webhook), "svix": library(svix.webhooks.Webhook), "pair": pair, "hex": hexed}
print(json.dumps([schemes[c["scheme"]](c, base64.b64decode(c["body"])) for c in json.load(sys.stdin)]))
