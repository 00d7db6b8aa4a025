"""Holds what a hub recorded of its deliveries against its audit log.

    evidence.py DATABASE SECRET [--flip STEP]

It reads the database file of a hub that is down and shares no code with it. For
every attempt that the audit log tells of it checks that the stored record is the
one whose hash is in the log, that the numbers of a delivery's attempts are 1..n,
that the body has the recorded digest, and that the recorded signature is the HMAC
of the recorded id and time stamp with that body under SECRET (Standard Webhooks).
It prints a JSON object with counts and the list of problems; each names delivery
and number. With --flip it turns every STEP-th bit of every record, one at a time,
and counts those that the log does not give away at their place.

That the log itself is whole is for test/conformance/audit/verify.py to say.
"""

import base64
import hashlib
import hmac
import json
import sqlite3
import sys


def load(path):
    db = sqlite3.connect(path)
    entries = [json.loads(e) for (e,) in db.execute("SELECT entry FROM audit_entries ORDER BY seq")]
    told = {}
    for e in entries:
        d = e.get("details", {})
        if e["action"] == "delivery.attempt":
            told[(e["resource_id"], d["number"])] = d
        elif e["action"] == "webhook.test":
            told[(d["delivery"], 1)] = d
    records = {(d, n): bytes(doc) for d, n, doc in db.execute("SELECT delivery, number, doc FROM attempts")}
    bodies = {d: bytes(b) for d, b in db.execute("SELECT d.id, e.body FROM deliveries d JOIN events e ON e.seq = d.event_seq")}
    return told, records, bodies


def signed(key, headers, body):
    text = f"{headers['Webhook-Id']}.{headers['Webhook-Timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


def judge(told, records, bodies, key):
    problems = []
    for place in sorted(told.keys() | records.keys()):
        detail, record = told.get(place), records.get(place)
        if detail is None or record is None:
            problems.append([*place, "is in the log alone" if record is None else "is not in the log"])
            continue
        if hashlib.sha256(record).hexdigest() != detail["record"]:
            problems.append([*place, "is not what was recorded"])
            continue
        a, body = json.loads(record), bodies[place[0]]
        if a["number"] != place[1] or place[1] > 1 and (place[0], place[1] - 1) not in told:
            problems.append([*place, "is out of number"])
        if a["request_digest"] != detail["digest"] or a["request_digest"] != "sha-256=" + hashlib.sha256(body).hexdigest():
            problems.append([*place, "had another body"])
        headers = {name.title(): value for name, value in a["request_headers"].items()}
        if signed(key, headers, body) not in headers["Webhook-Signature"].split(" "):
            problems.append([*place, "has another signature"])
    return problems


def flip(told, records, step):
    """Turns bits one at a time; gives how many, and how many stayed unseen."""
    turned = unseen = 0
    for place, record in records.items():
        text = bytearray(record)
        for bit in range(0, 8 * len(text), step):
            text[bit // 8] ^= 1 << bit % 8
            turned += 1
            unseen += hashlib.sha256(text).hexdigest() == told[place]["record"]
            text[bit // 8] ^= 1 << bit % 8
    return turned, unseen


def main(path, secret, *more):
    told, records, bodies = load(path)
    key = base64.b64decode(secret.removeprefix("whsec_"))
    out = {"attempts": len(records), "problems": judge(told, records, bodies, key)}
    if more[:1] == ("--flip",):
        out["bits"], out["unseen"] = flip(told, records, int(more[1]))
    print(json.dumps(out))


main(*sys.argv[1:])
