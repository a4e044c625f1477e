"""Sends the cases of a corpus, many at a time, and keeps what came back."""

import asyncio
import dataclasses

from . import frames, wire

AT_ONCE = 48
# How long an answer may take on a busy machine, and how long nothing must come to believe that nothing comes.
PATIENCE, QUIET = 20.0, 0.4
PROBE = b"GET /api/service/@SERVICE@/probe HTTP/1.1\r\nHost: mesh\r\nx-case: @CASE@\r\nConnection: close\r\n\r\n"


@dataclasses.dataclass
class Outcome:
    """What came back on the connection of one case."""

    case: object
    mark: str
    sent: bytes
    received: bytes = b""
    closed: bool = False
    probed: bool = False


def filled(data, service, mark):
    """The bytes of a case. Names and marks are as long as what stands for them, so that lengths stay right."""
    assert len(service) == len("@SERVICE@") and len(mark) == len("@CASE@")
    return data.replace(b"@SERVICE@", service.encode()).replace(b"@CASE@", mark.encode())


def methods(sent):
    """The methods of the requests that a case means to send; a HEAD's answer has no body."""
    return ["HEAD" if sent.startswith(b"HEAD") else "GET"]


async def read_until(reader, outcome, enough, seconds):
    """Reads until `enough`, the end, or silence."""
    while not outcome.closed and not enough():
        try:
            piece = await asyncio.wait_for(reader.read(65536), seconds)
        except TimeoutError:
            return
        except ConnectionError:
            piece = b""
        outcome.received += piece
        outcome.closed = not piece


async def replay(ingress, service, case, mark):
    """One case: its bytes, its answers, and a probe that shows whether the connection is still in step."""
    outcome = Outcome(case, mark, filled(case.sent, service, mark))
    reader, writer = await asyncio.open_connection(ingress.host, ingress.port)
    try:
        await send(writer, outcome.sent)
        wanted = len(case.meant) or 1

        is_http2 = outcome.sent.startswith(frames.PREFACE)

        def has_all():
            if is_http2:
                return frames.answers(outcome.received)[1]
            return len(wire.answers(outcome.received, methods(outcome.sent), False)[0]) >= wanted

        # What is meant to be answered will be; of the rest it is only known that it went nowhere.
        await read_until(reader, outcome, has_all, PATIENCE if case.meant and not case.may_refuse else QUIET)
        if not outcome.closed and not is_http2:
            outcome.probed = True
            await send(writer, filled(PROBE, service, mark))
            await read_until(reader, outcome, lambda: False, QUIET * 2)
    finally:
        writer.transport.abort()
    return outcome


async def send(writer, data):
    try:
        writer.write(data)
        await asyncio.wait_for(writer.drain(), QUIET)
    except (ConnectionError, TimeoutError):
        # Whoever refuses a head does not read the rest.
        pass


async def replay_all(ingress, service, numbered):
    """All cases; each has a number from which its mark is made."""
    room = asyncio.Semaphore(AT_ONCE)

    async def bounded(number, case):
        async with room:
            return await replay(ingress, service, case, f"{ingress.hops}{number:05d}")

    return await asyncio.gather(*(bounded(number, case) for number, case in numbered))
