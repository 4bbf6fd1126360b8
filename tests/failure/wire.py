"""A wire between the workers and RabbitMQ that can be stopped at the acks, or cut."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

_HEADER = 8  # "AMQP" and its version
_FRAME = struct.Struct(">BHL")
_METHOD, _BASIC_ACK = 1, struct.pack(">HH", 60, 80)


class Wire:
    """Forwards connections; `on_ack` is asked before each ack goes on: False keeps it here.

    What is kept here is lost: the connection's way to the broker stays shut.
    """

    def __init__(self, port: int) -> None:
        self.on_ack: Callable[[], bool] = lambda: True
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._socks: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def cut(self) -> None:
        """Break every connection."""
        for sock in self._socks:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
        for sock in self._socks:
            sock.close()

    def _run(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                self._socks += [near, far]
                for pump in (self._to_broker, self._to_worker):
                    self._run(pump, near, far)

    def _to_worker(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := far.recv(65_536):
                near.sendall(data)
        _hang_up(near)

    def _to_broker(self, near: socket.socket, far: socket.socket) -> None:
        with contextlib.suppress(OSError):
            for frame in _frames(near):
                if frame[7:11] == _BASIC_ACK and frame[0] == _METHOD and not self.on_ack():
                    while near.recv(65_536):
                        pass
                    break
                far.sendall(frame)
        _hang_up(far)


def _frames(sock: socket.socket) -> Iterator[bytes]:
    """Yield the protocol header, then one frame at a time."""
    buffer = bytearray()
    wanted = _HEADER
    while data := sock.recv(65_536):
        buffer += data
        while len(buffer) >= wanted:
            if wanted == _FRAME.size:
                _, _, size = _FRAME.unpack_from(buffer)
                wanted = _FRAME.size + size + 1
                continue
            yield bytes(buffer[:wanted])
            del buffer[:wanted]
            wanted = _FRAME.size


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
