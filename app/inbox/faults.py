"""Addresses that make the inbox misbehave, so that every failure of a real server can be rehearsed.

The part of the address before `@`, split at `+`, says what happens. Anything may follow, so that
many recipients can share a fault: `bounce+550+lead17@example.com`.

    bounce+<code>@, defer+<code>@   RCPT TO is refused with the code (550, 451 without one)
    data+<code>@                    the mail is refused at its final dot (554 without a code)
    greylist@                       451 to the first RCPT TO of this address, accepted from then on
    slow@, slow+<seconds>@          the reply to the final dot comes late (2 s without a number)
    hang-after-data@                the mail is kept, its final dot is never answered
    close-after-dot@                the mail is kept, then the connection closes without a reply
    close-after-data@               the connection closes when the body begins; nothing is kept
    shutdown@                       421 to RCPT TO, and the connection closes
"""

from dataclasses import dataclass

_REFUSALS = {
    550: "5.1.1 no such mailbox here",
    551: "5.1.6 the mailbox has moved",
    552: "5.2.2 the mailbox is full",
    553: "5.1.3 bad mailbox name",
    554: "5.7.1 delivery not authorised",
    571: "5.7.25 your address has no reverse DNS",
    450: "4.2.1 mailbox busy, try again later",
    451: "4.7.1 try again later",
    452: "4.2.2 mailbox full, try again later",
}
_LONGEST_DELAY_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong for one envelope recipient; the default is nothing."""

    rcpt_code: int = 0
    dot_code: int = 0
    delay_s: float = 0.0
    greylists: bool = False
    hangs: bool = False
    closes_after_dot: bool = False
    closes_after_data: bool = False
    shuts_down: bool = False


NONE = Fault()


def fault_of(address: str) -> Fault:
    """Return what an address asks for."""
    word, _, rest = address.partition("@")[0].lower().partition("+")
    argument = rest.partition("+")[0]
    match word:
        case "bounce":
            return Fault(rcpt_code=_code(argument, 550))
        case "defer":
            return Fault(rcpt_code=_code(argument, 451))
        case "data":
            return Fault(dot_code=_code(argument, 554))
        case "slow":
            return Fault(delay_s=_seconds(argument))
        case "greylist":
            return Fault(greylists=True)
        case _:
            return _BY_WORD.get(word, NONE)


def refusal(code: int) -> bytes:
    """Return the reply line for a refusal, with an enhanced status code that agrees."""
    text = _REFUSALS.get(code, f"{code // 100}.0.0 refused as asked")
    return f"{code} {text}\r\n".encode()


_BY_WORD = {
    "hang-after-data": Fault(hangs=True),
    "close-after-dot": Fault(closes_after_dot=True),
    "close-after-data": Fault(closes_after_data=True),
    "shutdown": Fault(shuts_down=True),
}


def _code(argument: str, default: int) -> int:
    is_refusal = argument.isascii() and argument.isdigit() and 400 <= int(argument) <= 599
    return int(argument) if is_refusal else default


def _seconds(argument: str) -> float:
    try:
        return min(max(float(argument), 0.0), _LONGEST_DELAY_S)
    except ValueError:
        return 2.0
