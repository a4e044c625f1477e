"""Chunks: sizes, extensions, ends and trailers that only some parsers accept."""

from .case import SMUGGLED, Meant, either, forwarded, head, refused, shown

HEAD = head(b"Transfer-Encoding: chunked")
END = b"0\r\n\r\n"
HELLO = Meant(body=b"hello")
ODD_SIZES = [b"05", b"0005", b"000000000000000005", b"5 ", b"5\t", b"5;", b"5;a", b"5;a=b", b"5;a=b;c=d", b'5;a="b"', b"5 ;a=b", b"5; a = b",
             b"5;" + b"a" * 100, b"5;\xff", b"5\t;a"]  # fmt: skip
BAD_SIZES = [
    b"+5", b"-5", b"0x5", b"0X5", b"5 5", b"g", b"", b" 5", b"\t5", b"5\x00", b"5\x0b", b"5_", b"5h", b"x5", b"5,", b"5.", b"\xa05", b"5\xa0", b"5 a", b"'5'",
    b"5:a", b"5=a", b"\n5", b"\r5", b"5\r", b"5;a\nb", b"5\n;a", b"1" + b"0" * 16, b"f" * 17, b"0" * 5000 + b"g", b"5;" + b"a" * 40000,
    b"FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFB", b"80000000000000005", b"5;a\x00" + b"\n", b"5;\n0",
]  # fmt: skip


def cases():
    for size in ODD_SIZES:
        yield either(f"size {shown(size)}", HEAD + size + b"\r\nhello\r\n" + END, HELLO)
    for size in BAD_SIZES:
        yield refused(f"size {shown(size)}", HEAD + size + b"\r\nhello\r\n" + END + SMUGGLED)
        yield refused(f"second size {shown(size)}", HEAD + b"1\r\nh\r\n" + size + b"\r\nhello\r\n" + END + SMUGGLED)
    for name, rest in {
        "LF after the size": b"5\nhello\r\n" + END,
        "CR after the size": b"5\rhello\r\n" + END,
        "CR CR LF after the size": b"5\r\r\nhello\r\n" + END,
        "LF after the data": b"5\r\nhello\n" + END,
        "CR after the data": b"5\r\nhello\r" + END,
        "nothing after the data": b"5\r\nhello" + END,
        "junk after the data": b"5\r\nhelloXX" + END,
        "data longer than its size": b"5\r\nhello!\r\n" + END,
        "data shorter than its size": b"5\r\nhell\r\n" + END,
        "data and CR NUL": b"5\r\nhello\r\x00" + END,
        "a space before the end": b"5\r\nhello\r\n \r\n" + END,
        "an empty line before the next": b"5\r\nhello\r\n\r\n" + END,
    }.items():
        yield refused(name, HEAD + rest + SMUGGLED)
    yield from ends()
    yield from trailers()


def ends():
    body = b"5\r\nhello\r\n"
    for end in (b"00\r\n\r\n", b"0000000\r\n\r\n", b"0;x=y\r\n\r\n", b"0 \r\n\r\n"):
        yield either(f"end {shown(end)}", HEAD + body + end, HELLO)
    for end in (b"0\n\n", b"0\r\r\n", b"0\r\n\r\r\n", b"0x0\r\n\r\n", b"-0\r\n\r\n", b"+0\r\n\r\n", b"0\x00\r\n\r\n", b"0\r\rX\r\n\r\n"):
        yield refused(f"end {shown(end)}", HEAD + body + end + SMUGGLED)
    for end in (b"0\r\n\n", b"0\n\r\n"):
        # Some take LF for the end; none may take what follows for anything else.
        yield either(f"end {shown(end)}", HEAD + body + end, HELLO)
    for cut in (b"", b"0", b"0\r", b"0\r\n", b"0\r\n\r"):
        yield refused(f"cut after {shown(cut)}", HEAD + body + cut)


def trailers():
    body = b"5\r\nhello\r\n0\r\n"
    absent = ("x-mesh-worker", "x-mesh-hop", "x-evil-host")
    for line in (
        b"X-Trailer: y", b"Content-Length: 50", b"Transfer-Encoding: chunked", b"Host: elsewhere", b"Authorization: Basic eA==",
        b"X-Mesh-Worker: x", b"X-Mesh-Hop: 0", b"Connection: close", b"X-Forwarded-For: 1.2.3.4", b"X: y\r\nX: z", b"X:", b"Trailer: X",
        b"x-case: other",
    ):  # fmt: skip
        sent = head(b"Transfer-Encoding: chunked", b"Trailer: X-Trailer") + body + line + b"\r\n\r\n"
        yield either(f"trailer {shown(line)}", sent, HELLO, absent=absent)
    second = head(method=b"GET", target=b"/api/service/@SERVICE@/second")
    sent = HEAD + body + b"Content-Length: %d\r\n\r\n" % len(second) + second
    yield either("a length in the trailers, and a second request", sent, HELLO, Meant("GET", "/second"))
    for line in (
        b"X", b"X y", b": y", b"X\x00: y", b"X : y", b"X: y\r\n z", b" X: y", b"X: a\rb", b"X: a\x00b",
        b"GET /api/service/@SERVICE@/smuggled HTTP/1.1\r\nHost: mesh", b"X" * 100_000 + b": y", b"X: " + b"y" * 100_000, b"X: y\r\n" * 2000 + b"X: y",
    ):  # fmt: skip
        yield refused(f"trailer {shown(line)}", HEAD + body + line + b"\r\n\r\n" + SMUGGLED)
    yield forwarded("no trailer", HEAD + body + b"\r\n", HELLO)
