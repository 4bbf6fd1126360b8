"""The last finder of addresses: flufl.bounce, which knows the notices of many old servers.

Only its addresses are used. What it calls permanent is soft in two of three cases, so the rules of
app/mail/rules.py judge the words all the same.
"""

import email
import logging
import re

from flufl.bounce import all_failures

# It logs a traceback for each mail one of its detectors trips over: nothing anybody can act on.
logging.getLogger("flufl.bounce").addHandler(logging.NullHandler())
logging.getLogger("flufl.bounce").propagate = False

_MOST_BYTES, _LONGEST_LINE, _MOST_MARKS = 96 * 1024, 998, 300
_MOST_LINES, _MOST_DEPTH = 1_500, 40
_BLANKS = re.compile(rb"\n(?:[ \t]{0,80}\n){2,}")
_CUT = re.compile(rb"([^\n]{%d})[^\n]+" % _LONGEST_LINE)


def find_addresses(raw: bytes) -> list[str]:
    """Return the addresses flufl.bounce finds in a mail, sorted; empty when it finds or can none."""
    mail = _CUT.sub(rb"\1", raw[:_MOST_BYTES].replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
    mail = b"\n".join(_BLANKS.sub(b"\n\n", mail).split(b"\n")[:_MOST_LINES])
    if (
        mail.lower().count(b"message/") > _MOST_DEPTH
        or mail.count(b"\n--") > _MOST_MARKS
        or mail.lower().count(b"boundary") > _MOST_MARKS
    ):
        return []
    try:
        temporary, permanent = all_failures(email.message_from_bytes(mail))
    except Exception:  # noqa: BLE001 - other people's code over hostile mail: nothing found
        return []
    found = {one.decode("utf-8", "replace") for one in {*temporary, *permanent} if one}
    return sorted(one for one in found if "@" in one)
