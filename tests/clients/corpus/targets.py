"""Targets: what leads out of a service, or is somebody else's by another reading of the path."""

from .case import HOST, SMUGGLED, Meant, either, forwarded, head, refused, shown

ABOVE = [
    b"/..", b"/../", b"/../smuggled", b"/a/../../smuggled", b"/./../smuggled", b"//../../smuggled", b"/%2e%2e/smuggled", b"/%2E%2E/smuggled", b"/.%2e/smuggled",
    b"/%2e./smuggled", b"/..%2fsmuggled", b"/..%2Fsmuggled", b"/%2e%2e%2fsmuggled", b"/..%5csmuggled", b"/..%5Csmuggled", b"/..\\smuggled", b"/a/..\\../smuggled",
    b"/..;/smuggled", b"/..;x=y/smuggled", b"/..%3b/smuggled", b"/..%3Bx/smuggled", b"/a/b/../../../smuggled", b"/a%2f..%2f..%2fsmuggled", b"/a/%2e%2e/%2e%2e/smuggled",
    b"/..?x", b"/../?x=/a/b/c", b"/..//smuggled", b"/\\../../smuggled", b"/.;/../smuggled", b"/;/../../smuggled",
]  # fmt: skip
BELOW = [
    b"/case", b"/", b"//case", b"/./case", b"/a/../case", b"/a%2fb", b"/a%2Fb", b"/a%5cb", b"/a%00b", b"/%2e/case", b"/...", b"/.../case", b"/..a", b"/a..",
    b"/%252e%252e/case", b"/%25%32%65", b"/%c0%ae%c0%ae/case", b"/case?a=b&c=%20", b"/case?../../x", b"/case?/../..", b"/a;b=c/case", b"/a%0d%0ab", b"/%", b"/%zz",
    b"/a+b", b"/a:b@c", b"/'()!$&*,=~", b"/case?", b"/case??", b"/api/service/other/x", b"/a//..//case",
]  # fmt: skip
NAMES = [
    b"/api/service/", b"/api/service", b"/api/service//@SERVICE@/smuggled", b"/api/service/%6eothing/smuggled", b"/api/service/@SERVICE@%2fsmuggled",
    b"/api/service/@SERVICE@%2Fsmuggled", b"/api/service/@SERVICE@%5csmuggled", b"/api/service/@SERVICE@\\smuggled", b"/api/service/@SERVICE@;x/smuggled",
    b"/api/service/@SERVICE@%00/smuggled", b"/api/service/@SERVICE@%20/smuggled", b"/api/service/./@SERVICE@/smuggled", b"/api/service/x/../@SERVICE@/smuggled",
    b"/api/service/../service/@SERVICE@/smuggled", b"//api/service/@SERVICE@/smuggled", b"/api//service/@SERVICE@/smuggled", b"/API/service/@SERVICE@/smuggled",
    b"/api/Service/@SERVICE@/smuggled", b"/api%2fservice/@SERVICE@/smuggled", b"/%61pi/service/@SERVICE@/smuggled", b"/x/../api/service/@SERVICE@/smuggled",
    b"/./api/service/@SERVICE@/smuggled", b"\\api\\service\\@SERVICE@\\smuggled", b"/api/service/-@SERVICE@/smuggled", b"/api/service/@SERVICE@./smuggled",
    b"/api/service/@SERVICE@:80/smuggled", b"/api/service/a@@SERVICE@/smuggled", b"/api/service/.../smuggled", b"/api/service/%2e%2e/service/@SERVICE@/smuggled",
    b"/api/service/" + b"a" * 64 + b"/smuggled", b"/api/admin/local/services/@SERVICE@/smuggled", b"/api/admin/leave", b"/metrics/smuggled", b"/.mesh/../smuggled",
]  # fmt: skip
RAW = [b"/a b", b"/a\tb", b"/\xff", b"/\xe2\x98\x83", b'/"', b"/<x>", b"/{x}", b"/a|b", b"/a^b", b"/a`b", b"/a\\b", b"/a[b]"]


def get(target, **more):
    return head(method=b"GET", target=target, **more)


def cases():
    base, by_host = b"/api/service/@SERVICE@", {"host": b"Host: @SERVICE@.mesh\r\n"}
    for path in ABOVE:
        yield refused(f"above {shown(path)}", get(base + path) + SMUGGLED)
        yield refused(f"above by host {shown(path)}", get(path, **by_host) + SMUGGLED)
        yield refused(f"above by header {shown(path)}", get(path, host=HOST + b"x-mesh-service: @SERVICE@\r\n") + SMUGGLED)
    for path in BELOW:
        meant = Meant("GET", path.decode("latin1"))
        # A service has its own opinion on what it reads; the mesh only must not change it.
        yield either(f"below {shown(path)}", get(base + path), meant)
        yield either(f"below by host {shown(path)}", get(path, **by_host), meant)
    for target in NAMES:
        yield refused(f"name {shown(target)}", get(target))
    for path in RAW:
        yield either(f"raw {shown(path)}", get(base + path), Meant("GET", path.decode("latin1")))
    for path in (b"/case#x", b"/case#/smuggled", b"/case?x#y", b"#/smuggled"):
        seen = path.split(b"#")[0].decode() or "/"
        yield either(f"fragment {shown(path)}", get(base + path), Meant("GET", seen))
    for host in (b"@SERVICE@.mesh:80", b"@SERVICE@.mesh.", b"@SERVICE@.MESH"):
        yield forwarded(f"by host {shown(host)}", get(b"/case", host=b"Host: " + host + b"\r\n"), Meant("GET"))
    for host in (b".mesh", b"x.@SERVICE@.mesh", b"@SERVICE@..mesh", b"@SERVICE@%2emesh", b"@SERVICE@.mesh.evil.example", b"a@@SERVICE@.mesh", b"@SERVICE@.mesh@evil",
                 b"@SERVICE@.mesh/../x", b"@SERVICE@.mesh evil", b"-.mesh"):  # fmt: skip
        yield refused(f"by host {shown(host)}", get(b"/smuggled", host=b"Host: " + host + b"\r\n"))
    for lines in (b"x-mesh-service: @SERVICE@\r\nx-mesh-service: @SERVICE@\r\n", b"x-mesh-service: @SERVICE@, other\r\n", b"x-mesh-service: ../@SERVICE@\r\n",
                  b"x-mesh-service: \r\n", b"x-mesh-service: @SERVICE@/x\r\n", b"x-mesh-service: \xff\r\n"):  # fmt: skip
        yield refused(f"by header {shown(lines)}", get(b"/smuggled", host=HOST + lines) + SMUGGLED)
