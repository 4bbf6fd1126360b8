"""Foreign programs that write and send mail: nodemailer and swaks."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from infra.local import programs
from tests.peers.node_programs import node


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What a program is to write: subject, text and headers, or `raw` as it is."""

    to: str
    sender: str = "ana@example.com"
    subject: str = ""
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""


def nodemailer(port: int, letter: Letter) -> None:
    """Let nodemailer write a letter and hand it to the server at `port`."""
    mail: dict[str, Any] = {"envelope": {"from": letter.sender, "to": [letter.to]}}
    if letter.raw:
        mail["raw"] = letter.raw.decode()
    else:
        mail |= {"from": f"Ana <{letter.sender}>", "to": letter.to, "subject": letter.subject}
        mail |= {"text": letter.text, "html": f"<p>{letter.text}</p>", "headers": letter.headers}
    assert node("send.mjs", {"port": port, "mail": mail}).startswith("250 ")


def swaks(port: int, letter: Letter) -> None:
    """Let swaks write a letter and hand it to the server at `port`."""
    program = programs.find("swaks")
    if program is None:
        pytest.skip("there is no swaks, and none can be fetched (apt-get)")
    words = ["--server", f"127.0.0.1:{port}", "--from", letter.sender or "<>", "--to", letter.to]
    if letter.raw:
        words += ["--data", letter.raw.decode().replace("\r\n", "\n")]
    else:
        for name, value in {"Subject": letter.subject, **letter.headers}.items():
            words += ["--header", f"{name}: {value}"]
        words += ["--body", letter.text]
    done = subprocess.run(
        program.command("--hide-all", "--silent", "2", *words),
        env=program.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
