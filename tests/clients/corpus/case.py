"""One case of the corpus: bytes that two parsers may read differently, and the only reading that may reach a service.

`@SERVICE@` and `@CASE@` in the bytes stand for the service's name and for the case's own mark. A request for `/smuggled`
is one that nobody may ever see.
"""

import dataclasses

SMUGGLED = b"GET /api/service/@SERVICE@/smuggled HTTP/1.1\r\nHost: mesh\r\nx-case: @CASE@\r\n\r\n"
TARGET = b"/api/service/@SERVICE@/case"
HOST = b"Host: mesh\r\n"
MARK = b"x-case: @CASE@\r\n"


@dataclasses.dataclass(frozen=True)
class Meant:
    """A request as a service may see it."""

    method: str = "POST"
    target: str = "/case"
    body: bytes = b""


@dataclasses.dataclass(frozen=True)
class Case:
    """What is sent, and what may come of it."""

    name: str
    sent: bytes
    # Requests that may be seen; none when it must be refused.
    meant: tuple = ()
    # Whether a refusal is right too.
    may_refuse: bool = False
    # Whether the connection must be closed after the answer.
    closes: bool = False
    # Headers that a service must not see, and those that it must.
    absent: tuple = ()
    present: tuple = ()


def head(*lines, method=b"POST", target=TARGET, version=b"HTTP/1.1", host=HOST, mark=MARK):
    """A head with its end; the lines are given without theirs."""
    return b"%s %s %s\r\n%s%s%s\r\n" % (method, target, version, host, mark, b"".join(line + b"\r\n" for line in lines))


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def refused(name, sent, **more):
    return Case(name, sent, (), **more)


def forwarded(name, sent, *meant, **more):
    return Case(name, sent, meant or (Meant(),), **more)


def either(name, sent, *meant, **more):
    return Case(name, sent, meant or (Meant(),), may_refuse=True, **more)


def shown(value):
    """A part of a name, made of bytes."""
    text = value.decode("latin1")
    text = text if len(text) <= 40 else f"{text[:30]}…{len(text)}"
    return text.encode("unicode_escape").decode()
