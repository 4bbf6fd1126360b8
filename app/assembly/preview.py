"""What a content looks like for one person, without a mail: what the API and the console show. Pure."""

import email
import email.policy
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any
from uuid import UUID

from app.assembly.compose import Recipient, compile_version
from app.assembly.draft import parse
from app.assembly.heading import Identity

_NOBODY = UUID(int=0)
_DATE = "Thu, 01 Jan 1970 00:00:00 +0000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """A mail's subject and parts, filled in; `html` is None for a content without one."""

    subject: str
    html: str | None
    text: str


def preview(
    subject: str, html: str | None, text: str | None, variables: Mapping[str, Any]
) -> Preview:
    """Return the content filled with `variables`, its links untouched.

    Raises TemplateInvalid, or MissingVariables with every name that has no value.
    """
    compiled = compile_version(parse(subject, html, text), _IDENTITY)
    recipient = Recipient(
        to="somebody@example.com",
        to_name=None,
        email_id=_NOBODY,
        mail_token="preview",  # noqa: S106 - opens nothing
        unsubscribe_token="preview",  # noqa: S106 - as above
        variables=variables,
    )
    written = compiled.join(compiled.slots(recipient), _DATE)
    message = email.message_from_bytes(written, _class=EmailMessage, policy=email.policy.default)
    return Preview(
        subject=str(message["subject"]),
        html=_part(message, "html"),
        text=_part(message, "plain") or "",
    )


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else str(part.get_content())


def _unsigned(url: str, _number: int) -> str:
    return url


_IDENTITY = Identity(
    from_address="preview@example.com",
    from_name=None,
    reply_to=(),
    tracking_url="https://preview.invalid",
    message_id_domain="preview.invalid",
    track_opens=False,
    track_clicks=False,
    unsubscribe=True,
    link_token=_unsigned,
)
