"""Reading HTTP/1.1 answers from raw bytes, strictly: what does not add up is an error."""

import dataclasses


@dataclasses.dataclass
class Answer:
    """One answer, interim ones apart."""

    status: int
    headers: list
    body: bytes

    def header(self, name):
        return next((value for key, value in self.headers if key == name), None)


class Malformed(Exception):
    """The bytes are no sequence of answers."""


def answers(data, methods, closed):
    """The whole answers in `data` to requests of these methods, and what is left over."""
    found = []
    while data:
        parsed = one(data, methods[len(found)] if len(found) < len(methods) else "GET", closed)
        if parsed is None:
            break
        answer, data = parsed
        if answer.status >= 200:
            found.append(answer)
    return found, data


def one(data, method, closed):
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].decode("latin1").split("\r\n")
    data = data[end + 4 :]
    words = lines[0].split(" ", 2)
    if not words[0].startswith("HTTP/1.") or len(words) < 2 or not words[1].isdigit():
        raise Malformed(lines[0])
    headers = [(name.lower(), value.strip()) for name, value in (line.split(":", 1) for line in lines[1:])]
    answer = Answer(int(words[1]), headers, b"")
    if answer.status < 200 or answer.status in (204, 304) or method == "HEAD":
        return answer, data
    lengths = [value for name, value in headers if name == "content-length"]
    codings = [value for name, value in headers if name == "transfer-encoding"]
    if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
        raise Malformed(f"{lengths} and {codings}")
    if codings:
        return chunked(answer, data)
    if lengths:
        length = int(lengths[0])
        if len(data) < length:
            return None
        answer.body = data[:length]
        return answer, data[length:]
    if not closed:
        return None
    answer.body = data
    return answer, b""


def chunked(answer, data):
    while True:
        line, found, rest = data.partition(b"\r\n")
        if not found:
            return None
        size = int(line, 16)
        if size == 0:
            trailers, found, data = rest.partition(b"\r\n")
            while trailers:
                trailers, found, data = data.partition(b"\r\n")
            return (answer, data) if found else None
        if len(rest) < size + 2:
            return None
        answer.body += rest[:size]
        data = rest[size + 2 :]
