"""How the demo's readers behave: decided by a hash of who reads what, so every run is the same.

Pure. About half open, a fifth of those click, a few unsubscribe after the first mail; mail
programs prefetch and security gateways follow links, so that both numbers have something to show.
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum

_PEOPLE = (
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.2.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/126.0 Safari/537.36",
)
_APPLE_PRIVACY = "Mozilla/5.0"
_GATEWAY = "Barracuda Sentinel (EE)"


class Deed(StrEnum):
    """What a reader does with a mail."""

    OPEN = "open"
    CLICK = "click"
    UNSUBSCRIBE = "unsubscribe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One request: after `delay_s` from the mail's arrival, with this user agent."""

    deed: Deed
    delay_s: float
    user_agent: str
    is_human: bool


# A person needs longer than the two seconds in which only scanners click.
_HUMAN_DELAY_S = 3.5
_GOODBYE_S = 1.0


def acts(recipient: str, step: int) -> tuple[Act, ...]:
    """Return what the reader of this mail does, in order; `step` counts from 1."""
    chance = _chances(recipient, step)
    machine = _machine(chance)
    if step == 1 and chance[0] < 0.02:
        goodbye = Act(
            deed=Deed.UNSUBSCRIBE, delay_s=_GOODBYE_S, user_agent=_PEOPLE[0], is_human=True
        )
        return (*machine, goodbye)
    if chance[0] < 0.52:
        clicks = (_person(Deed.CLICK, chance),) if chance[1] < 0.2 else ()
        return (*machine, _person(Deed.OPEN, chance), *clicks)
    return machine


def _machine(chance: tuple[float, ...]) -> tuple[Act, ...]:
    if chance[2] < 0.12:
        return (Act(deed=Deed.OPEN, delay_s=0.2, user_agent=_APPLE_PRIVACY, is_human=False),)
    if chance[2] < 0.16:
        opened = Act(deed=Deed.OPEN, delay_s=0.1, user_agent=_GATEWAY, is_human=False)
        clicked = Act(deed=Deed.CLICK, delay_s=0.1, user_agent=_GATEWAY, is_human=False)
        return (opened, clicked)
    return ()


def _person(deed: Deed, chance: tuple[float, ...]) -> Act:
    agent = _PEOPLE[int(chance[3] * len(_PEOPLE))]
    delay_s = _HUMAN_DELAY_S + chance[3] * 0.5
    return Act(deed=deed, delay_s=delay_s, user_agent=agent, is_human=True)


def _chances(recipient: str, step: int) -> tuple[float, ...]:
    digest = hashlib.sha256(f"{recipient} {step}".encode()).digest()
    return tuple(int.from_bytes(digest[i : i + 4]) / 2**32 for i in range(0, 16, 4))
