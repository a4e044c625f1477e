"""HTTP/2: heads and bodies that are harmless as frames, and something else when a proxy writes them as HTTP/1.1.

RFC 9113, 8.2 and 8.3. The lengths of the placeholders are those of what is put there, so they may be replaced in encoded frames.
"""

from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame, SettingsFrame

from .case import SMUGGLED, Case, Meant, shown

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
TARGET, MARK = b"/api/service/@SERVICE@/case", (b"x-case", b"@CASE@")
HEAD = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", TARGET), (b":authority", b"mesh"), MARK]
LINES = b"x\r\nx-evil: 1\r\n\r\n" + SMUGGLED
GET = Meant("GET")


def encoded(headers):
    # Never an index or Huffman's code: the placeholders must stay readable.
    return b"".join(b"\x10" + number(len(name)) + name + number(len(value)) + value for name, value in headers)


def number(value):
    """An integer with a prefix of seven bits (RFC 7541, 5.1)."""
    if value < 127:
        return bytes([value])
    value, out = value - 127, b"\x7f"
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def head(headers, end=True, stream=1):
    block = encoded(headers)
    flags = ["END_STREAM"] if end else []
    if len(block) <= 16384:
        return HeadersFrame(stream, block, flags=[*flags, "END_HEADERS"]).serialize()
    pieces = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    frames = [HeadersFrame(stream, pieces[0], flags=flags).serialize()]
    frames += [ContinuationFrame(stream, piece).serialize() for piece in pieces[1:-1]]
    return b"".join(frames) + ContinuationFrame(stream, pieces[-1], flags=["END_HEADERS"]).serialize()


def data(body, end=True, stream=1):
    return DataFrame(stream, body, flags=["END_STREAM"] if end else []).serialize()


def with_header(*more, method=b"GET", end=True):
    return PREFACE + head([(b":method", method), *HEAD[1:], *more], end)


def replaced(name, value):
    return PREFACE + head([(key, value if key == name else old) for key, old in [(b":method", b"GET"), *HEAD[1:]]])


def refused(name, sent):
    return Case(name, sent)


def either(name, sent, *meant, **more):
    return Case(name, sent, meant or (GET,), may_refuse=True, **more)


def forwarded(name, sent, *meant, **more):
    return Case(name, sent, meant or (GET,), **more)


def cases():
    yield forwarded("a plain request", with_header())
    yield from pseudo_headers()
    yield from names_and_values()
    yield from of_one_connection()
    yield from lengths()
    yield from trailers()


def pseudo_headers():
    base = [(b":method", b"GET"), *HEAD[1:]]
    for name, _ in base[:4]:
        without = [field for field in base if field[0] != name]
        missing = refused if name != b":authority" else either
        yield missing(f"without {shown(name)}", PREFACE + head(without))
        yield refused(f"twice {shown(name)}", PREFACE + head([(name, dict(base)[name]), *base]))
        yield refused(f"{shown(name)} after the headers", PREFACE + head([*without, (name, dict(base)[name])]))
        yield refused(f"another {shown(name)} after the headers", PREFACE + head([*base, (name, b"/smuggled")]))
    for name in (b":evil", b":status", b":", b":path ", b":Path", b":host", b": path", b":\r\npath"):
        yield refused(f"the pseudo header {shown(name)}", PREFACE + head([(name, b"200"), *base]))
    yield refused(":protocol without CONNECT", PREFACE + head([(b":protocol", b"websocket"), *base]))
    for value in (b"", b" ", b"GET ", b" GET", b"GET /smuggled HTTP/1.1\r\nHost: mesh\r\n\r\n", b"GET\r\n", b"G\x00ET", b"GE T", b"G\nET", b"GET\xff"):
        yield refused(f":method {shown(value)}", replaced(b":method", value))
    for tail in (b" HTTP/1.1\r\nx-evil: 1\r\n\r\n", b"\r\nx-evil: 1", b"\nx-evil: 1", b"\rx", b"\x00", b" x", b" HTTP/1.0", b"\x7f", b"/../..", b"/%2e%2e/%2e%2e/"):
        yield refused(f":path with {shown(tail)}", replaced(b":path", TARGET + tail))
    yield refused(":path with a request behind it", replaced(b":path", TARGET + b" HTTP/1.1\r\nHost: mesh\r\n\r\n" + SMUGGLED))
    for value in (b"", b"*", b"api/service/@SERVICE@/case", b"?x", b"//", b"mesh:80", b"/api/service/@SERVICE@\\smuggled"):
        yield refused(f":path {shown(value)}", replaced(b":path", value))
    yield either(":path in absolute form", replaced(b":path", b"http://other" + TARGET))
    yield either(":path with a fragment", replaced(b":path", TARGET + b"#/smuggled"))
    for value in (b"user@mesh", b"mesh\r\nx-evil: 1", b"mesh x", b"mesh/x", b"mesh\x00", b"mesh\n", b"mesh, other", b"mesh?x", b"mesh#x", b"[::1", b"me\xffsh"):
        yield refused(f":authority {shown(value)}", replaced(b":authority", value))
    yield either(":authority empty", replaced(b":authority", b""))
    for value in (b"http://other/smuggled?", b"http\r\nx-evil: 1", b"ht tp", b"http:", b"", b"\x00"):
        yield either(f":scheme {shown(value)}", replaced(b":scheme", value), absent=("x-evil",))
    yield either(":scheme https", replaced(b":scheme", b"https"))
    yield refused("another host", with_header((b"host", b"other")))
    yield refused("several hosts", with_header((b"host", b"mesh"), (b"host", b"mesh")))
    yield either("the same host", with_header((b"host", b"mesh")))
    only_host = [field for field in base if field[0] != b":authority"]
    yield either("a host instead of :authority", PREFACE + head([*only_host, (b"host", b"mesh")]))
    yield refused("a bad host instead of :authority", PREFACE + head([*only_host, (b"host", b"a@mesh")]))
    yield refused("CONNECT", PREFACE + head([(b":method", b"CONNECT"), (b":authority", b"mesh:80"), MARK]))
    yield refused("CONNECT with a path", PREFACE + head([(b":method", b"CONNECT"), *HEAD[1:]]))
    extended = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *HEAD[1:]]
    yield refused("extended CONNECT that was not offered", PREFACE + head(extended, end=False) + data(SMUGGLED))


def names_and_values():
    for value in (LINES, b"x\r\nx-evil: 1", b"x\nx-evil: 1", b"x\rx-evil: 1", b"\r\n", b"\n", b"x\r", b"x\x00y", b"\x00", b"x\r\n x"):
        yield refused(f"value {shown(value)}", with_header((b"x", value)))
    for control in (1, 8, 11, 12, 27, 127):
        yield refused(f"value with {control:#x}", with_header((b"x", b"a" + bytes([control]) + b"b")))
    for value in (b" x", b"x ", b"\tx", b"", b"\xff", b"a\tb"):
        yield either(f"value {shown(value)}", with_header((b"x", value)))
    for name in (b"X", b"xY", b"Content-Length", b"Transfer-Encoding", b"x y", b"x:", b"x: y\r\nx-evil", b"x\r\n", b"x\nx-evil", b"x\x00", b"", b" x", b"x ", b"x\xff", b"(x)", b"x\t"):
        yield refused(f"name {shown(name)}", with_header((name, b"1")))
    yield forwarded("underscores are another header", with_header((b"content_length", b"5")))
    yield forwarded("cookies are joined", with_header((b"cookie", b"a=1"), (b"cookie", b"b=2")), present=("cookie",))
    yield refused("a value of 100,000 bytes", with_header((b"x", b"y" * 100_000)))
    yield refused("a path of 70,000 bytes", replaced(b":path", TARGET + b"x" * 70_000))
    yield refused("a thousand headers", with_header(*[(b"x%d" % number, b"y") for number in range(1000)]))


def of_one_connection():
    for name, value in (
        (b"connection", b"close"), (b"connection", b"keep-alive"), (b"connection", b"x-evil"), (b"keep-alive", b"timeout=5"), (b"proxy-connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity"), (b"transfer-encoding", b""), (b"upgrade", b"h2c"), (b"upgrade", b"websocket"),
        (b"te", b"chunked"), (b"te", b"gzip, trailers"), (b"http2-settings", b"AAMAAABkAAQAAP__"),
    ):  # fmt: skip
        # They are malformed; some drop the header instead of the request.
        sent = with_header((name, value), method=b"POST", end=False) + data(SMUGGLED)
        yield either(f"{shown(name)}: {shown(value)}", sent, Meant(body=SMUGGLED), absent=tuple({name.decode()} - {"te", "transfer-encoding"}))
    yield forwarded("te: trailers", with_header((b"te", b"trailers")))
    chunked = with_header((b"transfer-encoding", b"chunked"), method=b"POST", end=False) + data(b"0\r\n\r\n" + SMUGGLED)
    yield either("transfer-encoding, and an end of chunks", chunked, Meant(body=b"0\r\n\r\n" + SMUGGLED))
    both = with_header((b"transfer-encoding", b"chunked"), (b"content-length", b"5"), method=b"POST", end=False) + data(b"0\r\n\r\n")
    yield either("transfer-encoding and content-length", both, Meant(body=b"0\r\n\r\n"))
    for name in (b"x-mesh-hop", b"x-mesh-tunnel", b"x-mesh-edge", b"x-mesh-load"):
        yield forwarded(f"{shown(name)} is not believed", with_header((name, b"1")), absent=(name.decode(),))


def lengths():
    length = len(SMUGGLED)
    for said, name in ((1, "one"), (length - 1, "too few"), (length + 1, "too many"), (length * 2, "twice as many")):
        sent = with_header((b"content-length", b"%d" % said), method=b"POST", end=False) + data(SMUGGLED)
        yield refused(f"a length of {name}", sent)
        yield refused(f"a length of {name}, in two frames", with_header((b"content-length", b"%d" % said), method=b"POST", end=False) + data(SMUGGLED[:9], end=False) + data(SMUGGLED[9:]))
    # The request may be on its way when the body shows that it was not meant so.
    none = with_header((b"content-length", b"0"), method=b"POST", end=False)
    yield either("a length of none", none + data(SMUGGLED), Meant())
    yield refused("a length and no body", with_header((b"content-length", b"5"), method=b"POST"))
    for value in (b"+5", b"-5", b"0x5", b"5 ", b" 5", b"5, 5", b"5,6", b"", b"five", b"18446744073709551621", b"5\x00", b"5\r\nx-evil: 1"):
        sent = with_header((b"content-length", value), method=b"POST", end=False) + data(b"hello")
        yield either(f"length {shown(value)}", sent, Meant(body=b"hello")) if value in (b"5, 5", b"5 ", b" 5") else refused(f"length {shown(value)}", sent)
    for one, other in ((b"5", b"6"), (b"6", b"5"), (b"5", b"x"), (b"0", b"5")):
        sent = with_header((b"content-length", one), (b"content-length", other), method=b"POST", end=False) + data(b"hello")
        yield refused(f"lengths {shown(one)} and {shown(other)}", sent)
    sent = with_header((b"content-length", b"5"), (b"content-length", b"5"), method=b"POST", end=False) + data(b"hello")
    yield either("twice the same length", sent, Meant(body=b"hello"))
    exact = with_header((b"content-length", b"%d" % length), method=b"POST", end=False) + data(SMUGGLED)
    yield forwarded("the right length", exact, Meant(body=SMUGGLED))
    for method in (b"POST", b"GET", b"HEAD", b"DELETE"):
        sent = with_header(method=method, end=False) + data(SMUGGLED)
        yield forwarded(f"{shown(method)} with a body without a length", sent, Meant(method.decode(), body=SMUGGLED))
        parts = with_header(method=method, end=False) + data(SMUGGLED[:9], end=False) + data(b"", end=False) + data(SMUGGLED[9:], end=False) + data(b"")
        yield forwarded(f"{shown(method)} with a body in pieces", parts, Meant(method.decode(), body=SMUGGLED))
    yield either("a GET with an empty body", with_header(end=False) + data(b""))


def trailers():
    start = with_header(method=b"POST", end=False) + data(b"hello", end=False)
    hello = Meant(body=b"hello")
    yield forwarded("trailers", start + head([(b"x-sum", b"1")]), hello)
    for name, value in ((b"content-length", b"50"), (b"transfer-encoding", b"chunked"), (b"host", b"other"), (b"x-mesh-hop", b"0"), (b"connection", b"close"), (b"x-case", b"000000"),
                        (b"authorization", b"x")):  # fmt: skip
        yield either(f"trailer {shown(name)}", start + head([(name, value)]), hello)
    for name, value in ((b":path", b"/smuggled"), (b":status", b"200")):
        yield either(f"trailer {shown(name)}", start + head([(name, value)]), hello)
    for name, value in ((b"x", LINES), (b"X", b"1"), (b"x\r\ny", b"1"), (b"x", b"a\x00b")):
        yield refused(f"bad trailer {shown(name)}: {shown(value)}", start + head([(name, value)]))
    yield refused("trailers that do not end the stream", start + head([(b"x-sum", b"1")], end=False) + data(SMUGGLED))
    # For a lenient parser these are trailers.
    yield either("a second head", PREFACE + head(HEAD, end=False) + head([*HEAD[:2], (b":path", b"/api/service/@SERVICE@/smuggled"), *HEAD[3:]]), Meant())
    # The first one is whole; whether its answer still comes is the connection's matter.
    yield either("data after the end", with_header() + data(SMUGGLED))
