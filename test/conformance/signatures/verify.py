"""Verifies webhooks as their receivers do.

Reads a list of cases as JSON from standard input, each {"secret", "headers",
"body" (base64), "late" (seconds by which the receiver's clock is ahead),
"scheme"}, and prints a list of true and false.

standard: the package standardwebhooks, with its own check of the time stamp.
hex: the function that CyberVault's documentation gives its customers.
"""

import base64
import datetime
import hashlib
import hmac
import json
import sys

import standardwebhooks.webhooks as sw


def ahead(seconds):
    class Clock(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.datetime.now(tz) + datetime.timedelta(seconds=seconds)

    return Clock


def standard(case, body):
    sw.datetime = ahead(case["late"])
    try:
        sw.Webhook(case["secret"]).verify(body, case["headers"])
        return True
    except sw.WebhookVerificationError:
        return False


def verify_signature(payload, signature, secret):
    expected = hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, signature)


def hexed(case, body):
    return verify_signature(body, case["headers"].get("X-CV-Signature", ""), case["secret"])


schemes = {"standard": standard, "hex": hexed}
print(json.dumps([schemes[c["scheme"]](c, base64.b64decode(c["body"])) for c in json.load(sys.stdin)]))
