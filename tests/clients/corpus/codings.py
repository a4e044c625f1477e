"""Transfer-Encoding: spelled in every way, alone, and beside a Content-Length before or after it."""

from .case import SMUGGLED, Meant, chunk, either, forwarded, head, refused, shown

GOOD = [b"chunked", b" chunked", b"chunked ", b"\tchunked", b"chunked\t", b" \t chunked \t ", b"Chunked", b"CHUNKED", b"cHuNkEd"]
BAD = [
    b"chunked, chunked", b"chunked,chunked", b"gzip, chunked", b"chunked, gzip", b"identity", b"identity, chunked", b"chunked, identity",
    b"x", b"chunked;q=1", b"chunked;", b";chunked", b"chunke", b"xchunked", b"chunkedx", b'"chunked"', b"'chunked'", b"c hunked",
    b"chun\tked", b"chunked\x0b", b"\x0bchunked", b"chunked\x0c", b"chunked\x00", b"\x00chunked", b"chunked\x7f", b"\xa0chunked",
    b"chunked\xff", b"trailers, chunked", b"deflate", b"br, chunked", b"chunked chunked", b"chunked/1", b"chunked=1", b"%63hunked",
    b"\\chunked", b"[chunked]", b"{chunked}", b"(chunked)", b"chunked\r chunked", b"chunked, x", b"x, chunked",
    b"", b" ", b",", b",chunked", b"chunked,", b" , chunked", b"chunked , ",
]  # fmt: skip
LINES = [
    b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding\x00: chunked",
    b"\x00Transfer-Encoding: chunked", b"Transfer Encoding: chunked", b"Transfer-Encoding chunked", b"Transfer-Encoding",
    b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\rX: y", b"\xffTransfer-Encoding: chunked",
    b"Transfer-Encoding\xa0: chunked", b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding:\r\n\tchunked", b"Transfer-Encoding:\n chunked",
    b"Transfer-Encoding\r\n: chunked", b"X: y\r\n Transfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\n , identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    b"Transfer-Encoding:\r\nTransfer-Encoding: chunked", b"Transfer-Encoding: x\r\ntransfer-encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding:", b"Transfer-Encoding: gzip\r\nX: y\r\nTransfer-Encoding: chunked",
]  # fmt: skip
END = b"0\r\n\r\n"


def cases():
    hello = chunk(b"hello") + END
    for value in GOOD:
        name, line = f"coding {shown(value)}", b"Transfer-Encoding:" + value
        yield forwarded(name, head(line) + hello, Meant(body=b"hello"))
        yield forwarded(f"{name}, a request for its body", head(line) + chunk(SMUGGLED) + END, Meant(body=SMUGGLED))
        yield from beside_a_length(name, line)
    lines = [(f"coding {shown(value)}", b"Transfer-Encoding: " + value) for value in BAD]
    lines += [(f"line {shown(line)}", line) for line in LINES]
    for name, line in lines:
        length = b"Content-Length: %d" % len(END + SMUGGLED)
        yield refused(name, head(line) + chunk(SMUGGLED) + END)
        yield refused(f"{name}, a length before", head(length, line) + END + SMUGGLED)
        yield refused(f"{name}, a length after", head(line, length) + END + SMUGGLED)
        yield refused(f"{name}, a short length", head(b"Content-Length: 4", line) + chunk(SMUGGLED) + END)
    yield from by_version()


def beside_a_length(name, line):
    """The coding wins, and nothing that follows is trusted (RFC 9112, 6.3)."""
    long = b"Content-Length: %d" % len(END + SMUGGLED)
    yield either(f"{name}, a length before", head(long, line) + END + SMUGGLED, closes=True)
    yield either(f"{name}, a length after", head(line, long) + END + SMUGGLED, closes=True)
    wrapped = Meant(body=SMUGGLED)
    yield either(f"{name}, a short length before", head(b"Content-Length: 4", line) + chunk(SMUGGLED) + END, wrapped, closes=True)
    yield either(f"{name}, a short length after", head(line, b"Content-Length: 4") + chunk(SMUGGLED) + END, wrapped, closes=True)
    yield either(f"{name}, lengths around", head(b"Content-Length: 4", line, b"Content-Length: 4") + chunk(SMUGGLED) + END, wrapped, closes=True)


def by_version():
    line, hello = b"Transfer-Encoding: chunked", chunk(b"hello") + END
    for name, lines in {
        "alone": [line],
        "with keep-alive": [b"Connection: keep-alive", line],
        "beside a length": [b"Content-Length: 4", line],
        "beside a length, with keep-alive": [b"Content-Length: 4", line, b"Connection: keep-alive"],
    }.items():
        yield refused(f"a coding in HTTP/1.0 {name}", head(*lines, version=b"HTTP/1.0") + hello + SMUGGLED)
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS"):
        meant = Meant(method.decode(), body=SMUGGLED)
        yield forwarded(f"{method.decode()} with a coding", head(line, method=method) + chunk(SMUGGLED) + END, meant)
    # Two LFs end this head for those who accept LF; what follows is then no request.
    yield either("a coding behind an empty line of LF", head(b"X: y\n\nTransfer-Encoding: chunked") + hello, Meant())
    yield forwarded("underscores are another header", head(b"Transfer_Encoding: chunked", method=b"GET"), Meant("GET"))
    yield either("a line that ends with LF alone", head(b"X: y\nTransfer-Encoding: chunked") + hello, Meant(body=b"hello"))
