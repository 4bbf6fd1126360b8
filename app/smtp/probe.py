"""Try a server step by step and say what was found: the wire behind `account test`."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.errors import InputInvalid
from app.smtp.connection import Server, ServerUnusable, Stage
from app.smtp.dial import Dial, Step
from app.smtp.opening import Opening
from app.smtp.transaction import is_writable


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeStep:
    """One step; `text` says what was found, or what is wrong and what to do."""

    name: str
    ok: bool
    ms: float
    text: str


def check(server: Server, mail_from: str = "") -> list[ProbeStep]:
    """Return the steps up to the first that fails; sends no mail.

    The last step offers `mail_from` as envelope sender (empty: the null return path) and takes it
    back. Texts quote the server's replies: show them to the operator of the account only. Raises
    InputInvalid for a `mail_from` that cannot be written in SMTP.
    """
    if mail_from and not is_writable(mail_from.encode()):
        raise InputInvalid(f"{mail_from!r} is no sender address.", field="mail_from")
    opening = Opening(server)
    offer = ("mail-from", lambda: _offer(opening, mail_from))
    return walk(opening, [*opening.steps(), offer])


def walk(dial: Dial, steps: Iterable[Step]) -> list[ProbeStep]:
    """Return what each step found, up to the first that fails; hang up."""
    done: list[ProbeStep] = []
    try:
        for name, call in steps:
            done.append(_timed(name, call))
            if not done[-1].ok:
                break
    finally:
        dial.close()
    return done


def _timed(name: str, call: Callable[[], str]) -> ProbeStep:
    started = time.monotonic()
    try:
        ok, text = True, call()
    except ServerUnusable as error:
        ok, text = False, str(error)
    return ProbeStep(name=name, ok=ok, ms=(time.monotonic() - started) * 1000, text=text)


def _offer(opening: Opening, mail_from: str) -> str:
    code, text = opening.ask(f"MAIL FROM:<{mail_from}>".encode(), Stage.MAIL)
    said = f"{code} {text.decode('utf-8', 'replace')}"
    if code >= 300:
        raise ServerUnusable(
            f"The server does not take mail from {mail_from or 'the null sender'}: {said}",
            stage=Stage.MAIL,
            reply=(code, text),
            fix="Use a sender address this account may use.",
        )
    opening.ask(b"RSET", Stage.RSET)
    return said
