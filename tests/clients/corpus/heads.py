"""Heads: line ends, control characters, names, versions and hosts."""

from .case import HOST, MARK, SMUGGLED, TARGET, Meant, either, forwarded, head, refused, shown

GET = Meant("GET")
CONTROLS = [bytes([code]) for code in (0, 1, 7, 8, 11, 12, 13, 14, 27, 31, 127)]


def get(*lines, **more):
    return head(*lines, method=b"GET", **more)


def cases():
    yield from line_ends()
    yield from characters()
    yield from request_lines()
    yield from hosts()
    yield from sizes()


def line_ends():
    plain = get(b"X: y")
    yield either("LF ends every line", plain.replace(b"\r\n", b"\n"), GET)
    yield either("LF ends the head", plain[:-2] + b"\n", GET)
    yield either("LF ends the request line", plain.replace(b"\r\n", b"\n", 1), GET)
    yield refused("CR ends every line", plain.replace(b"\r\n", b"\r"))
    yield refused("CR CR LF ends every line", plain.replace(b"\r\n", b"\r\r\n"))
    yield refused("LF CR ends every line", plain.replace(b"\r\n", b"\n\r"))
    for fold in (b"\r\n ", b"\r\n\t", b"\n ", b"\n\t", b"\r\n  \t "):
        yield refused(f"a value folded by {shown(fold)}", get(b"X: a" + fold + b"b") + SMUGGLED)
        yield refused(f"the host folded by {shown(fold)}", get(host=b"Host:" + fold + b"mesh\r\n") + SMUGGLED)
    yield refused("a fold before the first header", get(host=b" X: y\r\n" + HOST) + SMUGGLED)
    yield refused("a tab before the first header", get(host=b"\tHost: mesh\r\n") + SMUGGLED)
    for empty in (b"\r\n", b"\r\n\r\n", b"\n"):
        yield either(f"{shown(empty)} before the request", empty + plain, GET)
    for junk in (b" ", b"\t", b"\x00", b"\x0b", b"\r", b"\xef\xbb\xbf"):
        yield refused(f"{shown(junk)} before the request", junk + plain)


def characters():
    for control in CONTROLS:
        yield refused(f"{shown(control)} in a name", get(b"X" + control + b"Y: z") + SMUGGLED)
        yield refused(f"{shown(control)} in a value", get(b"X: y" + control + b"z") + SMUGGLED)
        yield refused(f"{shown(control)} in the target", get(target=TARGET + control + b"x") + SMUGGLED)
        yield refused(f"{shown(control)} in the method", head(method=b"G" + control + b"ET") + SMUGGLED)
        yield refused(f"{shown(control)} in the host", get(host=b"Host: me" + control + b"sh\r\n") + SMUGGLED)
    for name in (b"X Y", b"X ", b"X\t", b"", b" ", b"X(", b"X@Y", b"X,Y", b"X;Y", b'"X"', b"X=Y", b"X[0]", b"X{", b"X?", b"X/Y", b"X\\Y", b"<X>",
                 b"X\xff", b"\xe2\x98\x83"):  # fmt: skip
        yield refused(f"name {shown(name)}", get(name + b": y") + SMUGGLED)
    for line in (b"X", b"X y z", b"GET /smuggled HTTP/1.1"):
        yield refused(f"no colon in {shown(line)}", get(line) + SMUGGLED)
    for name in (b"X_Y", b"X.Y", b"X!#$%&'*+-^`|~", b"0"):
        yield forwarded(f"name {shown(name)}", get(name + b": y"), GET, present=(name.decode().lower(),))
    for value in (b"\x80\xff", "☃".encode(), b"a:b:c", b"", b"   ", b"\t", b"a\tb", b'"', b"\\"):
        yield forwarded(f"value {shown(value)}", get(b"X: " + value), GET)


def request_lines():
    for method in (b"get", b"Get", b"GETX", b"M-SEARCH", b"PURGE", b"BREW", b"TRACK"):
        # node and nginx know their methods; what they refuse is theirs to refuse.
        yield either(f"method {shown(method)}", head(method=method), Meant(method.decode()))
    for method in (b"", b"G ET", b"GET,POST", b"(GET)", b"GE\xffT", b"GET/", b"{GET}", b'"GET"', b"G" * 100_000):
        yield refused(f"method {shown(method)}", head(method=method) + SMUGGLED)
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.10", b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"http/1.1", b"HTTP/01.1", b"HTTP/1.1.1", b"HTTP/1,1",
                    b"HTTP 1.1", b"HTTP/", b"HTTP/1", b"HTTP/-1.1", b"HTTP/1.1x", b"HTTP/x.y", b"HTTPS/1.1", b"XTTP/1.1", b"", b"HTTP/1.\xb9"):  # fmt: skip
        yield refused(f"version {shown(version)}", get(version=version) + SMUGGLED)
    yield refused("HTTP/0.9", b"GET " + TARGET + b"\r\n")
    yield refused("a second target", get(target=TARGET + b" " + TARGET) + SMUGGLED)
    for gap in (b"\t", b"  ", b"\x0b", b"\x0c", b"\xa0"):
        sent = get().replace(b"GET ", b"GET" + gap, 1)
        yield (either if gap == b"  " else refused)(f"{shown(gap)} after the method", sent, *([GET] if gap == b"  " else []))
        sent = get().replace(b" HTTP/1.1", gap + b"HTTP/1.1", 1)
        yield (either if gap == b"  " else refused)(f"{shown(gap)} before the version", sent, *([GET] if gap == b"  " else []))
    for end in (b" ", b"\t", b" x"):
        yield refused(f"{shown(end)} after the version", get(version=b"HTTP/1.1" + end) + SMUGGLED)
    yield either("HTTP/1.0 without a host", get(version=b"HTTP/1.0", host=b""), GET, closes=True)
    yield either("HTTP/1.0 with a pipelined request", get(version=b"HTTP/1.0") + SMUGGLED, GET, closes=True)
    yield either("a pipelined request after close", get(b"Connection: close") + SMUGGLED, GET, closes=True)


def hosts():
    yield refused("no host", get(host=b"") + SMUGGLED)
    for lines in (b"Host: mesh\r\nHost: mesh\r\n", b"Host: mesh\r\nHost: other\r\n", b"Host: mesh\r\nhost: nobody.mesh\r\n", b"Host:\r\nHost: mesh\r\n",
                  b"Host: mesh\r\nHost:\r\n", b"Host: mesh\r\n\tother\r\n", b"Host : mesh\r\n", b"Host\t: mesh\r\n", b"Host;: mesh\r\n"):  # fmt: skip
        yield refused(f"hosts {shown(lines)}", get(host=lines) + SMUGGLED)
    for host in (b"a@mesh", b"user:pass@mesh", b"mesh@", b"@mesh", b"mesh, other", b"mesh other", b"mesh/x", b"mesh/smuggled", b"mesh?x", b"mesh#x", b"http://mesh",
                 b"mesh:port", b"mesh:80:80", b"mesh\\x", b"[::1", b"::1]", b"me\xffsh", b"mesh;x", b"<mesh>", b"mesh|x", b'"mesh"', b"", b" ", b"mesh:-1", b"mesh:99999",
                 b"mesh%00", b"mesh%2fx", b"mesh\tother"):  # fmt: skip
        odd = host in (b"mesh;x", b"mesh%00", b"mesh%2fx", b"mesh:99999", b"mesh:-1", b"", b" ", b"mesh:port")
        sent = get(host=b"Host: " + host + b"\r\n")
        yield either(f"host {shown(host)}", sent, GET) if odd else refused(f"host {shown(host)}", sent + SMUGGLED)
    for authority in (b"other", b"mesh:80", b"mesh.", b"nobody.mesh"):
        yield refused(f"absolute form with {shown(authority)}, another host", get(target=b"http://" + authority + TARGET) + SMUGGLED)
    yield forwarded("absolute form with the same host", get(target=b"http://mesh" + TARGET), GET)
    for target in (b"http://user@mesh" + TARGET, b"http://mesh@other" + TARGET, b"//mesh" + TARGET, b"http:///api/service/@SERVICE@/case", b"mesh" + TARGET,
                   b"http:" + TARGET, b"*", b"api/service/@SERVICE@/case", b"http://mesh\\@other" + TARGET, b"http://[mesh" + TARGET, b"?x", b"#x", b":80", b"mesh:80"):  # fmt: skip
        yield refused(f"target {shown(target)}", get(target=target))


def sizes():
    yield refused("a target of 70,000 bytes", get(target=TARGET + b"x" * 70_000) + SMUGGLED)
    yield refused("a header of 70,000 bytes", get(b"X: " + b"y" * 70_000) + SMUGGLED)
    yield refused("a thousand headers", get(*[b"X%d: y" % number for number in range(1000)]) + SMUGGLED)
    yield refused("a hundred and one headers", get(*[b"X%d: y" % number for number in range(101)]) + SMUGGLED)
    yield refused("hosts among too many headers", head(*[b"X: y"] * 2000, MARK[:-2], method=b"GET") + SMUGGLED)
