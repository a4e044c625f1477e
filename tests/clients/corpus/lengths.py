"""Content-Length: numbers that only some parsers take for numbers, and several that differ."""

from .case import SMUGGLED, Meant, either, forwarded, head, refused, shown

HELLO = Meant(body=b"hello")
GOOD = [b"5", b" 5", b"5 ", b"\t5", b"5\t", b"   5   "]
ODD = [b"05", b"0005", b"00000000000000000000005", b"5, 5", b"5,5", b"5 ,5", b"5,5,5"]
BAD = [
    b"+5", b"-5", b"--5", b"5 5", b"0x5", b"0X5", b"5h", b"5;", b"5;q=1", b"5.0", b"5e0", b"5_", b"1_0", b"five", b"'5'", b'"5"',
    b"5,6", b"6,5", b"5, 6, 5", b"5\x0b", b"\x0b5", b"5\x0c", b"\x0c5", b"5\x00", b"\x005", b"5\xa0", b"\xa05", b"\xef\xbc\x95",
    b"\xd9\xa5", b"-0", b"18446744073709551616", b"18446744073709551621", b"4294967301" * 3, b"9" * 400,
    b"5\r6", b"5\x7f", b"(5)", b"5/5", b"5=5", b"%35", b"\\5", b"NaN", b"", b" ", b",5", b"5,", b",",
]  # fmt: skip
LINES = [
    b"Content-Length : 5", b"Content-Length\t: 5", b"Content-Length\x00: 5", b"\x00Content-Length: 5", b"Content-Length\x0b: 5",
    b"Content Length: 5", b"Content-Length;: 5", b"Content-Length", b"Content-Length 5", b"Content-Length:5\rX: y",
    b"X: y\rContent-Length: 5", b"\xffContent-Length: 5", b"Content-Length\xff: 5", b"(Content-Length): 5", b"Content-\x7fLength: 5",
    b"Content-Length:\x005", b'"Content-Length": 5', b"Content-Length\r: 5", b"Content-Length[]: 5", b"\rContent-Length: 5",
]  # fmt: skip
PAIRS = [(b"5", b"6"), (b"6", b"5"), (b"5", b"0"), (b"0", b"5"), (b"5", b"+5"), (b"+5", b"5"), (b"5", b"x"), (b"5", b"-5"), (b"5", b"5a"),
         (b"5", b"6, 5"), (b"5", b"18446744073709551621")]  # fmt: skip


def cases():
    for value in GOOD:
        yield forwarded(f"length {shown(value)}", head(b"Content-Length:" + value) + b"hello", HELLO)
    for value in ODD:
        yield either(f"length {shown(value)}", head(b"Content-Length: " + value) + b"hello", HELLO)
    for value in BAD:
        yield refused(f"length {shown(value)}", head(b"Content-Length: " + value) + b"hello" + SMUGGLED)
    for line in LINES:
        yield refused(f"line {shown(line)}", head(line) + b"hello" + SMUGGLED)
    for fold in (b"\r\n ", b"\r\n\t", b"\n ", b"\r\n \r\n "):
        yield refused(f"length folded by {shown(fold)}", head(b"Content-Length:" + fold + b"5") + b"hello" + SMUGGLED)
        yield refused(f"length hidden in a fold by {shown(fold)}", head(b"X: y" + fold + b"Content-Length: 5") + b"hello" + SMUGGLED)
    yield either("twice the same length", head(b"Content-Length: 5", b"Content-Length: 5") + b"hello", HELLO)
    yield either("twice the same length, far apart", head(b"Content-Length: 5", b"X: y", b"content-length: 5") + b"hello", HELLO)
    yield either("the same length with and without zeros", head(b"Content-Length: 5", b"Content-Length: 05") + b"hello", HELLO)
    for one, other in PAIRS:
        sent = head(b"Content-Length: " + one, b"Content-Length: " + other) + b"hello" + SMUGGLED
        yield refused(f"lengths {shown(one)} and {shown(other)}", sent)
    yield from by_method()


def by_method():
    for method in (b"GET", b"DELETE", b"OPTIONS", b"PUT", b"PATCH", b"PROPFIND"):
        meant = Meant(method.decode(), body=SMUGGLED)
        sent = head(b"Content-Length: %d" % len(SMUGGLED), method=method) + SMUGGLED
        yield forwarded(f"{method.decode()} with a request for its body", sent, meant)
        second = head(method=b"GET", target=b"/api/service/@SERVICE@/second")
        yield forwarded(f"{method.decode()} with a request for its body, and one after it", sent + second, meant, Meant("GET", "/second"))
    yield forwarded("underscores are another header", head(b"Content_Length: 5", method=b"GET"), Meant("GET"))
    yield either("a length in HTTP/1.0", head(b"Content-Length: 5", version=b"HTTP/1.0") + b"hello", HELLO, closes=True)
    keep = head(b"Content-Length: 5", b"Connection: keep-alive", version=b"HTTP/1.0") + b"hello"
    yield either("a length in HTTP/1.0 with keep-alive", keep, HELLO)
