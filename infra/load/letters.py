"""The mail everybody sends: about nine kilobytes, five links, five variables, a non-ASCII name."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from app.assembly.compose import Compiled, Recipient, compile_version
from app.assembly.draft import parse
from app.assembly.heading import Identity
from app.clock import utc_now
from app.ids import new_id
from app.mail.headers import date_value
from tracking.tokens import TokenKeys

TRACKING_URL = "https://t.example.com"
SENDER = "news@sender.example.org"

_PARAGRAPH = (
    '<p style="font:16px/1.5 Arial,sans-serif;color:#333333;margin:0 0 16px 0">Our team looked at '
    "the numbers for your workspace and picked the changes that matter most for the coming weeks. "
    "You can read the details on your dashboard, compare them with the last quarter, and share "
    "them with your colleagues.</p>\n"
)
LINKS = (
    "https://www.example.com/dashboard?utm_source=mail&amp;utm_campaign=spring",
    "https://www.example.com/report/2026/spring/overview",
    "https://docs.example.com/guide/getting-started#first-steps",
    "https://www.example.com/pricing?plan=team&amp;ref=newsletter",
    "https://blog.example.com/2026/04/what-we-shipped-this-quarter",
)
SUBJECT = "{{ firstName }}, your {{ plan }} report for {{ month }}"
HTML = (
    '<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>Report</title></head>\n'
    '<body style="margin:0;background:#f4f4f4">\n'
    '<table width="600" align="center" cellpadding="0" cellspacing="0"><tr><td>\n'
    "<h1>Hello {{ firstName }} {{ lastName }}</h1>\n"
    "<p>Here is the {{ month }} report for {{ company }} on the {{ plan }} plan.</p>\n"
    + "".join(
        _PARAGRAPH * 4
        + f'<p><a href="{link}" style="color:#1a73e8">Read more, {{{{ firstName }}}} →</a></p>\n'
        for link in LINKS
    )
    + "</td></tr></table>\n</body></html>\n"
)
TEXT = (
    "Hello {{ firstName }} {{ lastName }},\n\n"
    "Here is the {{ month }} report for {{ company }} on the {{ plan }} plan.\n\n"
    + "\n".join(f"Read more: {link.replace('&amp;', '&')}" for link in LINKS)
    + "\n\nThe team\n"
)
COLUMNS = ("email", "firstName", "lastName", "company", "plan", "month", "timezone")
_ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo")


def address(number: int) -> str:
    """Return the address of recipient `number`, in one of twenty domains."""
    return f"user{number}@rcpt{number % 20}.example.com"


def variables(number: int) -> dict[str, str]:
    """Return what the mail to recipient `number` says."""
    return {
        "firstName": f"Zoë{number}",
        "lastName": f"Example{number}",
        "company": f"Company {number} GmbH",
        "plan": "Team",
        "month": "April",
    }


def lead_lines(count: int) -> Iterator[str]:
    """Yield the lines of a CSV file of `count` leads, the header first."""
    yield ",".join(COLUMNS) + "\n"
    for number in range(count):
        words = (address(number), *variables(number).values(), _ZONES[number % len(_ZONES)])
        yield ",".join(words) + "\n"


def write_leads(path: Path, count: int) -> Path:
    """Write the CSV file and return its path."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lead_lines(count))
    return path


def content(keys: TokenKeys, app_id: UUID) -> Compiled:
    """Return the template version compiled, as the stages hold it."""
    identity = Identity(
        from_address=SENDER,
        from_name="Sender",
        tracking_url=TRACKING_URL,
        message_id_domain="sender.example.org",
        track_opens=True,
        track_clicks=True,
        unsubscribe=True,
        link_token=lambda url, position: keys.link_token(url, position, app_id),
    )
    return compile_version(parse(SUBJECT, HTML, TEXT), identity)


def recipient(keys: TokenKeys, app_id: UUID, number: int) -> Recipient:
    """Return recipient `number` with its tokens."""
    email_id = new_id()
    return Recipient(
        to=address(number),
        to_name=None,
        email_id=email_id,
        mail_token=keys.mail_token(email_id, app_id),
        unsubscribe_token=keys.unsubscribe_token(email_id, app_id),
        variables=variables(number),
    )


def sample() -> bytes:
    """Return one finished mail as the send stage hands it to the wire, CR LF lines."""
    keys, app_id = TokenKeys([b"a key of the benchmark's own letters"]), UUID(int=1)
    version = content(keys, app_id)
    return version.join(version.slots(recipient(keys, app_id, 1)), date_value(utc_now()))
