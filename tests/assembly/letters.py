"""Templates, identities and recipients for the tests of assembly, and a reader of what came out."""

import email
import email.message
import email.policy
import re
import uuid

from app.assembly.compose import Recipient, compile_version
from app.assembly.draft import parse
from app.assembly.heading import Identity
from tracking.tokens import TokenKeys

APP = uuid.UUID(int=7)
MAIL = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
KEYS = TokenKeys([b"k" * 32])
BASE = "https://t.example.com"
DATE = "Sat, 21 Nov 2026 20:00:00 +0000"
MAIL_TOKEN = KEYS.mail_token(MAIL, APP)
UNSUBSCRIBE_TOKEN = KEYS.unsubscribe_token(MAIL, APP)


def identity(**changes):
    facts = {
        "from_address": "news@sender.example",
        "from_name": "Sender",
        "tracking_url": BASE,
        "message_id_domain": "sender.example",
        "track_opens": False,
        "track_clicks": False,
        "unsubscribe": False,
        "link_token": lambda url, number: KEYS.link_token(url, number, APP),
    }
    return Identity(**(facts | changes))


def recipient(variables=None, **changes):
    facts = {
        "to": "user@rcpt.example",
        "to_name": None,
        "email_id": MAIL,
        "mail_token": MAIL_TOKEN,
        "unsubscribe_token": UNSUBSCRIBE_TOKEN,
        "variables": variables or {},
    }
    return Recipient(**(facts | changes))


def compiled(html=None, text=None, subject="Subject", files=(), **changes):
    return compile_version(parse(subject, html, text), identity(**changes), files)


def written(version, variables=None, **changes):
    """Return the bytes of one mail after checking what every mail must hold to (RFC 5321, 5322)."""
    raw = version.join(version.slots(recipient(variables, **changes)), DATE)
    assert re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", raw) is None
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\n." not in raw
    assert raw.endswith(b"\r\n")
    body = raw.partition(b"\r\n\r\n")[2]
    assert max(map(len, body.split(b"\r\n"))) <= 76
    return raw


def parsed(raw):
    return email.message_from_bytes(raw, policy=email.policy.default)


def content(raw, kind):
    """Return the decoded text of the `plain` or `html` part with LF line ends."""
    part = parsed(raw).get_body((kind,))
    assert isinstance(part, email.message.EmailMessage)
    return part.get_content().replace("\r\n", "\n")
