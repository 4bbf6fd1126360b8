"""Our own sink: it takes pipelined mail, counts it, and notes when each probe arrived."""

import smtplib
import socket
from pathlib import Path

from infra.load import sinks


def test_every_mail_is_counted_and_every_probe_stamped(tmp_path: Path):
    with sinks.stamping(tmp_path) as sink, smtplib.SMTP("127.0.0.1", sink.port) as client:
        client.sendmail("a@example.org", ["b@example.com"], "Subject: probe-17\r\n\r\nx\r\n")
        client.sendmail("a@example.org", ["b@example.com"], "Subject: other\r\n\r\ny\r\n")
        assert sinks.settled_count(sink) == 2
        assert list(sink.arrivals()) == [17]


def test_a_pipelined_dialogue_gets_its_replies_in_order(tmp_path: Path):
    words = (
        b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n"
        b"Subject: x\r\n\r\nbody\r\n.\r\nMAIL FROM:<a@example.org>\r\nQUIT\r\n"
    )
    with (
        sinks.stamping(tmp_path, delay_ms=5) as sink,
        socket.create_connection(("127.0.0.1", sink.port), 60) as wire,
    ):
        wire.sendall(words)
        said = b"".join(iter(lambda: wire.recv(4_096), b""))
    finals = [line[:3] for line in said.splitlines() if line[3:4] != b"-"]
    assert finals == [b"220", b"250", b"250", b"250", b"354", b"250", b"250", b"221"]
