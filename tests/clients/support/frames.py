"""Reading frames of HTTP/2 as they come."""

from hpack import Decoder
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

# With the first frame, which must be SETTINGS: HTTP/1.1 may not begin like that.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()


def frames(data):
    """The whole frames in `data`."""
    while len(data) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        if len(data) < 9 + length:
            return
        frame.parse_body(memoryview(data[9 : 9 + length]))
        yield frame
        data = data[9 + length :]


def answers(data, stream=1):
    """The statuses on a stream, interim ones apart, and whether it has ended."""
    statuses, ended, decoder = [], False, Decoder()
    for frame in frames(data):
        if isinstance(frame, HeadersFrame):
            fields = dict(decoder.decode(frame.data))
            if frame.stream_id == stream and not fields.get(":status", "100").startswith("1"):
                statuses.append(int(fields[":status"]))
        if isinstance(frame, GoAwayFrame) and frame.error_code:
            ended = True
        if frame.stream_id == stream:
            ended |= isinstance(frame, RstStreamFrame)
            ended |= isinstance(frame, (HeadersFrame, DataFrame)) and "END_STREAM" in frame.flags
    return statuses, ended
