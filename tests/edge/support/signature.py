"""`x-mesh-edge` as a node checks it (src/router/proxy/edge.rs), and as an edge makes it."""

import base64
import hashlib
import hmac
import ipaddress
import os

VALID_FOR = 60
MAX_NONCE_LEN = 64
KEY = bytes(range(32))
SECRET = "k1:" + base64.b64encode(KEY).decode()
ANOTHER_SECRET = "k1:" + base64.b64encode(bytes(reversed(KEY))).decode()
SIGNED_HEADERS = ("x-mesh-service", "x-mesh-version", "x-mesh-worker")


class Verifier:
    """The secrets of a node, and the nonces that were used."""

    def __init__(self, secret=SECRET):
        kid, key = secret.split(":")
        self.keys = {kid: base64.b64decode(key)}
        self.nonces = set()
        self.repeated = 0

    def refusal(self, request, now):
        """Why the request is refused: the value of `x-mesh-error`, or None."""
        claim = claim_of(request)
        is_ambiguous = any(len(request.all(name)) > 1 for name in SIGNED_HEADERS)
        if claim is None or is_ambiguous or claim["kid"] not in self.keys:
            return "edge_signature"
        text = message(request, claim["t"], claim["n"], claim["ip"])
        wanted = hmac.new(self.keys[claim["kid"]], text, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(wanted, claim["sig"].lower()):
            return "edge_signature"
        try:
            ipaddress.ip_address(claim["ip"])
            at = int(claim["t"])
        except ValueError:
            return "edge_signature"
        if abs(at - int(now)) > VALID_FOR:
            return "edge_clock"
        if (claim["kid"], claim["n"]) in self.nonces:
            self.repeated += 1
            return "edge_signature"
        self.nonces.add((claim["kid"], claim["n"]))
        return None


def claim_of(request):
    """The fields of `x-mesh-edge`, or None when it is not well formed."""
    values = request.all("x-mesh-edge")
    if len(values) != 1:
        return None
    fields = [field.strip().partition("=") for field in values[0].split(",")]
    claim = {name: value for name, _, value in fields}
    whole = len(fields) == len(claim) and {"kid", "t", "n", "ip", "sig"} <= claim.keys()
    return claim if whole and 1 <= len(claim["n"]) <= MAX_NONCE_LEN and len(claim["t"]) <= 20 else None


def message(request, t, n, ip):
    """The bytes that are signed."""
    parts = [t, n, request.method, request.target, request.header("host") or "", ip]
    parts += [request.header(name) or "" for name in SIGNED_HEADERS]
    return "\n".join(parts).encode("latin1")


def sign(request, now, nonce=None, ip="192.0.2.7", secret=SECRET):
    """The value of `x-mesh-edge` for a request."""
    kid, key = secret.split(":")
    t, n = str(int(now)), nonce or os.urandom(16).hex()
    sig = hmac.new(base64.b64decode(key), message(request, t, n, ip), hashlib.sha256).hexdigest()
    return f"kid={kid},t={t},n={n},ip={ip},sig={sig}"
