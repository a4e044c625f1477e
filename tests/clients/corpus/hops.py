"""What concerns one connection, what the mesh says of itself, upgrades, and requests behind requests."""

from .case import HOST, SMUGGLED, TARGET, Meant, chunk, either, forwarded, head, refused, shown

GET = Meant("GET")
SECOND = head(method=b"GET", target=b"/api/service/@SERVICE@/second")
ENDS_HERE = [b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive", b"Proxy-Authorization: Basic eA==", b"Proxy-Authenticate: Basic",
             b"TE: gzip", b"TE: chunked", b"Upgrade: x", b"HTTP2-Settings: AAMAAABkAAQAAP__"]  # fmt: skip
OF_THE_MESH = [b"x-mesh-hop: 0", b"x-mesh-hop: 9", b"x-mesh-load: 1", b"x-mesh-tunnel: websocket", b"x-mesh-edge: kid=a,t=1,n=b,ip=1.2.3.4,sig=00", b"x-mesh-error: x",
               b"x-mesh-retry: 1", b"x-mesh-anything: x", b"X-MESH-HOP: 0", b"x-envoy-original-path: /smuggled", b"x-forwarded-anything: x", b"forwarded: for=1.2.3.4",
               b"x-real-ip: 1.2.3.4"]  # fmt: skip


def get(*lines, **more):
    return head(*lines, method=b"GET", **more)


def name_of(line):
    return line.split(b":")[0].decode().lower()


def cases():
    for line in ENDS_HERE + OF_THE_MESH:
        yield forwarded(f"ends here {shown(line)}", get(line), GET, absent=(name_of(line),))
    yield from nominations()
    yield from upgrades()
    yield from pipelines()
    yield from expectations()


def nominations():
    for value in (b"x-evil", b"close, x-evil", b"x-evil,close", b"X-EVIL", b" x-evil ", b"keep-alive, x-evil, ,", b"x-evil;q=1, x-evil"):
        yield forwarded(f"nominates {shown(value)}", get(b"Connection: " + value, b"X-Evil: 1"), GET, absent=("x-evil", "connection"))
    two = get(b"Connection: keep-alive", b"X-Evil: 1", b"Connection: x-evil", b"X-Other: 2", b"Connection: x-other")
    yield forwarded("nominates on several lines", two, GET, absent=("x-evil", "x-other"))
    for name in (b"Host", b"Authorization", b"x-case", b"X-Forwarded-For", b"X-Forwarded-Host", b"Content-Type", b"Cookie", b"Via"):
        kept = () if name in (b"x-case", b"Content-Type", b"Cookie", b"Via") else (name.decode().lower(),)
        more = [b"Authorization: Basic eA=="] if name == b"Authorization" else []
        if name == b"x-case":
            continue
        yield forwarded(f"nominates {name.decode()}", get(b"Connection: " + name, *more), GET, present=kept)
    length = head(b"Connection: content-length", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED
    yield forwarded("nominates the length", length, Meant(body=SMUGGLED))
    coding = head(b"Connection: transfer-encoding", b"Transfer-Encoding: chunked") + chunk(SMUGGLED) + b"0\r\n\r\n"
    yield forwarded("nominates the coding", coding, Meant(body=SMUGGLED))
    for name in (b"x-mesh-service", b"x-mesh-version", b"x-mesh-worker", b"x-mesh-hop"):
        lines = HOST + b"x-mesh-service: @SERVICE@\r\n"
        yield forwarded(f"nominates {name.decode()}", get(b"Connection: " + name, target=b"/case", host=lines), GET, absent=(name.decode(),))
    for value in (b"\xff", b"a b", b"(x)", b"", b",,,", b"x" * 10_000):
        yield forwarded(f"nominates {shown(value)}", get(b"Connection: " + value), GET)


def upgrades():
    h2c = [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"]
    absent = ("upgrade", "http2-settings")
    yield forwarded("upgrade to h2c", get(*h2c), GET, absent=absent)
    yield forwarded("upgrade to h2c with a body", head(*h2c, b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED, Meant(body=SMUGGLED), absent=absent)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield forwarded("upgrade to h2c, and its preface", get(*h2c) + preface, GET, absent=absent)
    for token in (b"h2c, websocket", b"TLS/1.0", b"x", b"websocket/13", b"websocketx"):
        yield either(f"upgrade to {shown(token)}", get(b"Connection: upgrade", b"Upgrade: " + token), GET)
    websocket = [b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    # None of these services switches: what follows is no tunnel's, but the next request.
    yield either("a WebSocket that is refused, and a request behind it", get(*websocket) + SECOND, GET, Meant("GET", "/second"))
    body = b"Content-Length: %d" % len(SMUGGLED)
    yield either("a WebSocket with a body", get(*websocket, body) + SMUGGLED, GET)
    # Only a GET can ask for a WebSocket: this is an ordinary request, and what follows is its body.
    yield forwarded("a WebSocket by POST with a body", head(*websocket, body) + SMUGGLED, Meant(body=SMUGGLED), absent=("upgrade",))
    yield either("a WebSocket with chunks", get(*websocket, b"Transfer-Encoding: chunked") + chunk(SMUGGLED) + b"0\r\n\r\n", GET)
    yield either("a WebSocket in HTTP/1.0", get(*websocket, version=b"HTTP/1.0") + SMUGGLED, GET)
    for target in (b"mesh:80", b"127.0.0.1:22", TARGET, b"*", b"http://mesh/", b"mesh"):
        # Whoever believes in the tunnel takes what follows for its bytes (RFC 9931, 3).
        yield refused(f"CONNECT {shown(target)}", head(method=b"CONNECT", target=target) + SMUGGLED, closes=True)
    yield refused("CONNECT with a length", head(b"Content-Length: %d" % len(SMUGGLED), method=b"CONNECT", target=b"mesh:80") + SMUGGLED)
    yield refused("the preface of HTTP/2 and then HTTP/1.1", preface + SMUGGLED)
    yield refused("half a preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + SMUGGLED)
    yield refused("PRI", head(method=b"PRI", target=b"*", version=b"HTTP/2.0") + SMUGGLED)


def pipelines():
    second = Meant("GET", "/second")
    yield forwarded("two requests", get() + SECOND, GET, second)
    yield forwarded("ten requests", get() * 9 + SECOND, *[GET] * 9, second)
    body = head(b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED
    yield forwarded("a request behind a body", body + SECOND, Meant(body=SMUGGLED), second)
    chunked = head(b"Transfer-Encoding: chunked") + chunk(SMUGGLED) + b"0\r\n\r\n"
    yield forwarded("a request behind chunks", chunked + SECOND, Meant(body=SMUGGLED), second)
    yield forwarded("a request behind a HEAD", head(method=b"HEAD") + SECOND, Meant("HEAD"), second)
    yield forwarded("a request behind empty lines", get() + b"\r\n\r\n" + SECOND, GET, second)
    yield either("a request behind a refused one", get(target=b"/api/service/@SERVICE@/..") + SECOND, closes=True)
    yield forwarded("a short answer to a long request", head(b"Content-Length: %d" % (len(SMUGGLED) * 100)) + SMUGGLED * 100, Meant(body=(SMUGGLED * 100)))
    yield either("a request behind junk", get() + b"\x00\x00" + SMUGGLED, GET)


def expectations():
    for value in (b"100-continue", b"100-Continue"):
        sent = head(b"Expect: " + value, b"Content-Length: 5") + b"hello"
        yield forwarded(f"expects {shown(value)}", sent, Meant(body=b"hello"), absent=("expect",))
    for value in (b"100-continue, 100-continue", b"x", b"200-ok", b""):
        sent = head(b"Expect: " + value, b"Content-Length: 5") + b"hello"
        yield either(f"expects {shown(value)}", sent, Meant(body=b"hello"), absent=("expect",))
    # The bytes are the body's, whether somebody waited for 100 or not.
    sent = head(b"Expect: 100-continue", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED
    yield forwarded("expects 100 of a request for a body", sent, Meant(body=SMUGGLED))
    yield either("expects 100 without a body", get(b"Expect: 100-continue") + SECOND, GET, Meant("GET", "/second"))
    yield refused("expects 100 in HTTP/1.0 with a coding", head(b"Expect: 100-continue", b"Transfer-Encoding: chunked", version=b"HTTP/1.0") + b"0\r\n\r\n" + SMUGGLED)
    for method in (b"TRACE", b"TRACK", b"OPTIONS"):
        yield either(f"{method.decode()}", head(method=method), Meant(method.decode()))
