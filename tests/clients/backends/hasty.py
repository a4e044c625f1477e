"""A server that keeps connections open for a given time only after an answer; 0 closes at once, unannounced."""

import asyncio
import sys

LINGER = float(sys.argv[1])


async def converse(reader, writer):
    patience = 30
    try:
        while True:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), patience)
            target = head.split(b" ", 2)[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), target))
            await writer.drain()
            patience = LINGER
            if not LINGER:
                break
    except (asyncio.IncompleteReadError, TimeoutError, ConnectionError):
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
