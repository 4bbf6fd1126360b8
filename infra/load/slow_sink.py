"""An SMTP server that takes every mail, and answers each write of its client DELAY ms later.

    python -m infra.load.slow_sink PORT DELAY_MS STAMPS

The delay stands for the round trip of a network. One line goes to the file STAMPS per mail, when
its last byte has arrived: the seconds of the clock and the number in `Subject: probe-N`, if any.
"""

import asyncio
import os
import re
import sys
import time

_PROBE = re.compile(rb"^Subject: probe-(\d+)", re.MULTILINE)
_EHLO = b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
_BYE = b"221 bye\r\n"
_END = b"\r\n.\r\n"
_BACKLOG = 512


class Sink(asyncio.Protocol):
    """One connection: RFC 5321 with PIPELINING (RFC 2920), as far as senders of mail ask."""

    def __init__(self, delay_s: float, stamps: int) -> None:
        self._delay_s = delay_s
        self._stamps = stamps
        self._buffer = b""
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server gives
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        """Take what is complete and answer all of it together."""
        self._buffer += data
        answers = []
        while (answer := self._next()) is not None:
            answers.append(answer)
        if answers:
            self._answer(b"".join(answers))

    def _answer(self, answers: bytes) -> None:
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._write, answers)
        else:
            self._write(answers)

    def _write(self, answers: bytes) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(answers)
        if answers.endswith(_BYE):
            self._transport.close()

    def _next(self) -> bytes | None:
        """Return the answer to the next line or body; None when it is not complete yet."""
        end = _END if self._in_data else b"\r\n"
        whole, found, rest = self._buffer.partition(end)
        if not found:
            return None
        self._buffer = rest
        if self._in_data:
            self._in_data = False
            self._stamp(whole)
            return b"250 2.0.0 Ok\r\n"
        return self._reply(whole[:4].upper())

    def _reply(self, verb: bytes) -> bytes:
        match verb:
            case b"EHLO" | b"HELO":
                return _EHLO
            case b"DATA":
                self._in_data = True
                return b"354 go on\r\n"
            case b"QUIT":
                return _BYE
            case _:
                return b"250 2.1.0 Ok\r\n"

    def _stamp(self, mail: bytes) -> None:
        probe = _PROBE.search(mail)
        number = probe[1].decode() if probe else "-"
        os.write(self._stamps, f"{time.time():.6f} {number}\n".encode())


async def serve(port: int, delay_s: float, stamps: int) -> None:
    """Listen on loopback until killed."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Sink(delay_s, stamps), "127.0.0.1", port, backlog=_BACKLOG
    )
    await server.serve_forever()


if __name__ == "__main__":
    _file = os.open(sys.argv[3], os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000, _file))
