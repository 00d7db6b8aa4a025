#!/usr/bin/env python3
"""Verifies exports of a Tocsin audit log. Written from audit/FORMAT.md alone.

It needs nothing but Python 3.8 and shares no code with the hub, so that the two
check each other. It takes NDJSON and JSON exports.

    verify.py [--key KEY] [--checkpoint FILE]... [--json] EXPORT...

Exit code: 0 intact, 1 tampered, 2 unreadable, 3 intact but the end is not
covered by a checkpoint or older than a known one; the greatest of several, but
tampered before all.
"""

import argparse
import base64
import binascii
import datetime
import hashlib
import json
import re
import sys

MAX_ENTRY = 65535
MAX_INT = 2**53 - 1
MAX_DEPTH = 32
ROW_START = b'{"integrity_hash":"'
ROW_HEAD = len(ROW_START) + 64 + 2
ZEROS = "0" * 64
MEMBERS = {
    "action": str, "actor_type": str, "details": dict, "id": str, "ip_address": str, "log": str, "outcome": str,
    "prev_hash": str, "request_method": str, "request_path": str, "resource_id": str, "resource_type": str,
    "response_status": int, "sequence": int, "tenant_id": str, "timestamp": str, "user_agent": str,
    "user_email": str, "user_id": str, "v": int,
}  # fmt: skip


# --- ed25519, RFC 8032 -------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def add(p, q):
    """Adds two points in extended coordinates (x, y, z, t)."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(n, p):
    result = (0, 1, 1, 0)
    while n:
        if n & 1:
            result = add(result, p)
        p = add(p, p)
        n >>= 1
    return result


def decompress(b):
    """Gives the point that 32 bytes encode, or None."""
    y = int.from_bytes(b, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= P:
        return None
    xx = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(xx, (P + 3) // 8, P)
    if (x * x - xx) % P:
        x = x * SQRT_M1 % P
    if (x * x - xx) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def compress(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def signed(key, message, signature):
    point, s = decompress(key), int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or point is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    minus = (P - point[0], point[1], 1, P - point[3])
    return compress(add(multiply(s, BASE), multiply(h, minus))) == signature[:32]


# --- canonical JSON, RFC 8785, as far as entries need it ----------------------

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote(text):
    return '"' + re.sub('["\\\\\x00-\x1f]', lambda m: ESCAPES.get(m[0]) or "\\u%04x" % ord(m[0]), text) + '"'


def canonical(value, depth):
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is int and abs(value) <= MAX_INT:
        return str(value)
    if type(value) is str:
        return quote(value)
    if depth > 0 and type(value) is list:
        return "[" + ",".join(canonical(v, depth - 1) for v in value) + "]"
    if depth > 0 and type(value) is dict:
        names = sorted(value, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(quote(n) + ":" + canonical(value[n], depth - 1) for n in names) + "}"
    raise ValueError("a value that entries do not have")


def no_float(text):
    raise ValueError("a number that entries do not have: " + text)


def parse_entry(b):
    """Gives the members of an entry, or None if the bytes are none."""
    try:
        if len(b) > MAX_ENTRY:
            return None
        e = json.loads(b.decode("utf-8"), parse_float=no_float, parse_constant=no_float)
        if type(e) is not dict or canonical(e, MAX_DEPTH + 1).encode("utf-8") != b:
            return None
    except (ValueError, RecursionError):
        return None
    if set(e) != set(MEMBERS) or any(type(e[n]) is not t for n, t in MEMBERS.items()):
        return None
    if e["v"] != 1 or e["sequence"] < 0 or not is_hash(e["prev_hash"]) or not is_time(e["timestamp"]):
        return None
    return e


def is_hash(text):
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def is_time(text):
    m = re.fullmatch(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})\.([0-9]{6})Z", text)
    if not m or int(m[1]) < 1970:
        return False
    try:
        datetime.datetime(*(int(g) for g in m.groups()))
    except ValueError:
        return False
    return True


# --- checkpoints --------------------------------------------------------------


class Bad(Exception):
    """What was read is not what it should be."""


def unbase64(text):
    try:
        b = base64.b64decode(text.encode("ascii"), validate=True)
    except (ValueError, binascii.Error):
        raise Bad("no base64")
    if base64.b64encode(b).decode() != text:
        raise Bad("loose base64")
    return b


def parse_checkpoint(note):
    """Gives log, size and root of a signed note without checking it."""
    lines = note.split("\n", 4)
    if len(lines) != 5 or lines[3] or not lines[0] or not re.fullmatch("0|[1-9][0-9]{0,18}", lines[1]):
        raise Bad("no checkpoint")
    root = unbase64(lines[2])
    if len(root) != 32 or int(lines[1]) >= 2**63:
        raise Bad("no checkpoint")
    return lines[0], int(lines[1]), root


def key_hash(log, key):
    return hashlib.sha256(log.encode() + b"\n\x01" + key).digest()[:4]


def is_name(name):
    return name != "" and "+" not in name and not any(c.isspace() for c in name)


def open_checkpoint(note, keys):
    """Gives log, size and root of a note that one of the keys has signed."""
    log, size, root = parse_checkpoint(note)
    text, separator, lines = note.rpartition("\n\n")
    text += "\n"
    if text != "%s\n%d\n%s\n" % (log, size, base64.b64encode(root).decode()) or not lines.endswith("\n"):
        raise Bad("no signed note")
    if not is_name(log) or re.search("[\x00-\x09\x0b-\x1f]", note):
        raise Bad("no signed note")
    known, seen = {key_hash(log, k): k for k in keys}, False
    for line in lines[:-1].split("\n"):
        start, _, rest = line.partition("\u2014 ")
        name, _, encoded = rest.partition(" ")
        if start or not is_name(name):
            raise Bad("no signature line")
        b = unbase64(encoded)
        if len(b) < 5:
            raise Bad("no signature line")
        if name == log and b[:4] in known:
            if not signed(known[b[:4]], text.encode(), b[4:]):
                raise Bad("wrong signature")
            seen = True
    if not seen:
        raise Bad("not signed by the key")
    return log, size, root


def parse_key(text):
    """Gives the 32 bytes of a public key."""
    if "+" in text and len(text) > 44:
        name, _, rest = text.partition("+")
        encoded_hash, _, encoded = rest.partition("+")
        b = unbase64(encoded)
        if len(b) != 33 or b[0] != 1 or not is_name(name) or encoded_hash.lower() != key_hash(name, b[1:]).hex():
            raise Bad("no public key")
        return b[1:]
    b = unbase64(text)
    if len(b) != 32:
        raise Bad("no public key")
    return b


# --- rows ---------------------------------------------------------------------


class Row:
    def __init__(self, line):
        self.stored = self.entry = self.hash = None
        if (
            ROW_HEAD < len(line) < ROW_HEAD + MAX_ENTRY
            and line.startswith(ROW_START)
            and line[ROW_HEAD - 2 : ROW_HEAD] == b'",'
            and re.fullmatch(b"[0-9a-f]{64}", line[len(ROW_START) : ROW_HEAD - 2])
        ):
            b = b"{" + line[ROW_HEAD:]
            self.stored = line[len(ROW_START) : ROW_HEAD - 2].decode()
            self.hash = hashlib.sha256(b"\0" + b).hexdigest()
            self.entry = parse_entry(b)


class Export:
    """An export: its rows, and the header if there is one."""

    def __init__(self, data):
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        self.header = self.note = self.key = self.bad = None
        if data.startswith(b"[\n"):
            lines = lines[1:]
            if b"]" in lines:
                lines.remove(b"]")
            lines = [line[:-1] if line.endswith(b",") else line for line in lines]
        elif data.startswith(b'{"checkpoint":'):
            self.header = lines.pop(0)
            self.read_header()
        self.rows = [Row(line) for line in lines]
        self.known = self.header is not None or any(r.stored for r in self.rows)

    def read_header(self):
        try:
            h = json.loads(self.header.decode("utf-8"))
            if set(h) != {"checkpoint", "key"} or any(type(v) is not str for v in h.values()):
                raise ValueError
            self.note = h["checkpoint"]
            if canonical(h, 1).encode("utf-8") != self.header:
                raise ValueError
            self.key = parse_key(h["key"])
            log, _, _ = open_checkpoint(self.note, [self.key])
            vkey = base64.b64encode(b"\x01" + self.key).decode()
            if h["key"] != "%s+%s+%s" % (log, key_hash(log, self.key).hex(), vkey):
                raise ValueError
        except (ValueError, TypeError, RecursionError, Bad):
            self.bad = True


# --- verification -------------------------------------------------------------


class Fault(Exception):
    def __init__(self, kind, sequence, count):
        self.kind, self.sequence, self.count = kind, sequence, count


class Log:
    """A log being verified: what fits so far and what checkpoints say."""

    def __init__(self, keys, checkpoints):
        self.keys, self.checkpoints = keys, checkpoints
        self.log, self.size, self.last, self.last_prev, self.time = None, 0, ZEROS, None, ""
        self.frontier = []
        self.claims = []  # (size, root, vouches, outside)
        self.bad_note = False
        self.good, self.covered = {False: 0, True: 0}, 0

    def run(self, export):
        keys = self.keys or ([export.key] if export.key else [])
        if export.note is not None:
            try:
                self.log = open_checkpoint(export.note, keys)[0]
            except Bad:
                pass
        for note in self.checkpoints:
            self.take_outside(note)
        if export.note is not None:
            self.take_own(export.note, keys)
        self.bad_note = self.bad_note or bool(export.bad)
        self.judge(export.rows)
        self.end()

    def take_outside(self, note):
        try:
            log, size, root = open_checkpoint(note, self.keys) if self.keys else parse_checkpoint(note)
        except Bad as e:
            raise Bad("checkpoint that was given: %s" % e)
        self.log = self.log or log
        if log != self.log:
            raise Bad("the checkpoint that was given is of another log")
        self.claims.append((size, root, True, True))

    def take_own(self, note, keys):
        try:
            log, size, root = open_checkpoint(note, keys) if keys else parse_checkpoint(note)
        except Bad:
            self.bad_note = True
            return
        self.log = self.log or log
        if log != self.log:
            self.bad_note = True
        else:
            self.claims.append((size, root, bool(keys), False))

    def judge(self, rows):
        pending = None
        for i, row in enumerate(rows):
            following = rows[i + 1] if i + 1 < len(rows) else None
            if self.size == 0 and self.log is None and row.entry:
                self.log = row.entry["log"]
            if not self.fits(row):
                self.explain(row, following, rows[i + 1 :])
            if pending:
                raise pending
            pending = self.accept(row)
        if pending:
            raise pending

    def fits(self, row):
        e = row.entry
        return (
            e is not None
            and row.hash == row.stored
            and e["sequence"] == self.size
            and e["prev_hash"] == self.last
            and e["timestamp"] >= self.time
            and e["log"] == self.log
        )

    def accept(self, row):
        """Moves on behind the row; gives the fault if a checkpoint disagrees."""
        node, n = bytes.fromhex(row.hash), self.size
        while n & 1:
            node = hashlib.sha256(b"\x01" + self.frontier.pop() + node).digest()
            n >>= 1
        self.frontier.append(node)
        self.size += 1
        self.last, self.last_prev, self.time = row.hash, row.entry["prev_hash"], row.entry["timestamp"]
        fault = None
        for size, root, vouches, outside in self.claims:
            if size != self.size:
                continue
            if root == self.root():
                self.good[False] = self.good[outside] = size
                self.covered = size if vouches else self.covered
            elif not fault:
                fault = Fault("checkpoint_mismatch", self.good[outside], size - self.good[outside])
        return fault

    def root(self):
        node = self.frontier[-1]
        for left in reversed(self.frontier[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node

    def explain(self, row, following, rest):
        """Raises what is wrong with a row that does not fit."""
        n, e = self.size, row.entry
        extra = following is not None and self.fits(following)
        right = e is not None and row.hash == row.stored
        named = following is not None and following.entry is not None and following.entry["prev_hash"] == row.hash
        if right and e["sequence"] > n:
            s = e["sequence"]
            later = {r.entry["sequence"] for r in rest if r.entry}
            if extra and (s in later or s >= n + 1 + len(rest)):
                raise Fault("inserted", n, 1)
            if extra or n in later:
                raise Fault("reordered", n, 1)
            raise Fault("deleted", n, s - n)
        if extra:
            raise Fault("inserted", n, 1)
        if row.stored is None:
            raise Fault("not_canonical", n, 1)
        if row.hash != row.stored:
            raise Fault("hash_mismatch" if named else "edited", n, 1)
        if e is None:
            raise Fault("not_canonical", n, 1)
        if e["sequence"] < n:
            twice = e["sequence"] == n - 1 and e["prev_hash"] == self.last_prev
            raise Fault("inserted", n - 1 if twice else n, 1)
        if e["prev_hash"] != self.last:
            before = n > 0 and (following is None or named)
            raise Fault("edited", n - 1 if before else n, 1)
        raise Fault("foreign" if e["log"] != self.log else "edited", n, 1)

    def end(self):
        own = max((c[0] for c in self.claims if not c[3]), default=0)
        known = max((c[0] for c in self.claims if c[3]), default=0)
        if own > self.size:
            raise Fault("truncated", self.size, own - self.size)
        if self.bad_note:
            raise Fault("bad_signature", -1, 0)
        if known > self.size:
            raise Fault("older", self.size, known - self.size)
        if self.covered < self.size:
            raise Fault("uncovered_tail", self.covered, self.size - self.covered)


def verify(data, keys, checkpoints):
    log = Log(keys, checkpoints)
    report = {"verdict": "intact", "fault": None}
    try:
        export = Export(data)
        log.run(export)
    except Bad as e:
        return {"verdict": "unreadable", "error": str(e)}
    except Fault as f:
        report["verdict"] = "uncovered" if f.kind in ("older", "uncovered_tail") else "tampered"
        report["fault"] = {"kind": f.kind, "sequence": f.sequence, "count": f.count}
    if not export.known:
        return {"verdict": "unreadable", "error": "no line has the form of an entry"}
    report["log"], report["entries"], report["covered"] = log.log or "", log.size, log.covered
    if report["verdict"] == "tampered":
        if report["fault"]["sequence"] >= 0:
            report["entries"] = min(log.size, report["fault"]["sequence"])
        report["covered"] = min(log.covered, report["entries"])
    return report


def main():
    parser = argparse.ArgumentParser(description="Verifies exports of a Tocsin audit log.")
    parser.add_argument("--key", action="append", default=[], help="public key of the hub; else the one in the export")
    parser.add_argument("--checkpoint", action="append", default=[], help="file with a checkpoint kept elsewhere")
    parser.add_argument("--json", action="store_true", help="print one JSON object an export")
    parser.add_argument("export", nargs="+")
    args = parser.parse_args()
    codes = set()
    for name in args.export:
        try:
            keys = [parse_key(k.strip()) for k in args.key]
            checkpoints = [open(c, encoding="utf-8", newline="").read() for c in args.checkpoint]
            with open(name, "rb") as f:
                report = verify(f.read(), keys, checkpoints)
        except (OSError, ValueError, Bad) as e:
            report = {"verdict": "unreadable", "error": str(e)}
        codes.add({"intact": 0, "tampered": 1, "unreadable": 2, "uncovered": 3}[report["verdict"]])
        print(json.dumps(report) if args.json else "%s: %s" % (name, describe(report)))
    return 1 if 1 in codes else max(codes)


def describe(report):
    if report["verdict"] == "unreadable":
        return "unreadable: " + report["error"]
    fault = report["fault"]
    if fault:
        return "%s: %s at sequence %d (%d entries concerned)" % (
            report["verdict"], fault["kind"], fault["sequence"], fault["count"])  # fmt: skip
    return "intact: %d entries of %s" % (report["entries"], report["log"])


if __name__ == "__main__":
    sys.exit(main())
