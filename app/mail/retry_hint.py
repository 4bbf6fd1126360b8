"""How long a server asks to be left alone: 4xx texts such as "try again in 300 seconds".

No RFC defines them; these are the words of Postgrey, milter-greylist, sqlgrey, Exim and large
providers. Only a wait that is plainly one is believed.
"""

import re

_UNITS_S = {"s": 1, "m": 60, "h": 3_600}
_CUE = r"\b(?:again|retry|retrying|come back|back|wait|delayed?|greylisted|available|resend)\b"
_AMOUNT = re.compile(
    _CUE + r"[^.\d]{0,30}?\b(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?)\b",
    re.IGNORECASE,
)
_CLOCK = re.compile(_CUE + r"[^.\d]{0,30}?\b(\d{1,3}):([0-5]\d):([0-5]\d)\b", re.IGNORECASE)


def retry_hint_s(text: str) -> int | None:
    """Return the seconds a reply's text asks to wait, or None when it names no time."""
    if found := _CLOCK.search(text):
        hours, minutes, seconds = (int(part) for part in found.groups())
        return hours * 3_600 + minutes * 60 + seconds
    if found := _AMOUNT.search(text):
        return int(found[1]) * _UNITS_S[found[2][0].lower()]
    return None
