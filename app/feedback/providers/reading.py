"""Which provider is read how: the door of this folder."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from app.feedback.providers import mailgun, postmark, sendgrid, ses
from app.feedback.providers.event import Provider, ProviderEvent, loaded, unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A request as it came; the names of `headers` are in lower case."""

    headers: Mapping[str, str]
    body: bytes
    now: dt.datetime


def opened(provider: Provider, posted: Posted, secret: str) -> list[dict[str, Any]]:
    """Return the events of a request; raises Forbidden when the provider did not make it.

    Not for SES: what SNS signed is opened with a certificate (app/feedback/providers/sns).
    """
    match provider:
        case Provider.POSTMARK:
            return postmark.opened(posted.headers, posted.body, secret)
        case Provider.SENDGRID:
            return sendgrid.opened(posted.headers, posted.body, secret)
        case Provider.MAILGUN:
            return mailgun.opened(posted.body, secret, posted.now)
        case Provider.SES:
            raise AssertionError(provider)
        case _ as never:
            assert_never(never)


_READ = {
    Provider.SES: ses.read,
    Provider.POSTMARK: postmark.read,
    Provider.SENDGRID: sendgrid.read,
    Provider.MAILGUN: mailgun.read,
}


def read(provider: Provider, event: dict[str, Any]) -> ProviderEvent:
    """Return an event in our shape; never fails, whatever it is."""
    return _READ[provider](event)


def read_stored(provider: Provider, raw: bytes) -> ProviderEvent:
    """Return an event from the bytes it was stored as."""
    event = loaded(raw)
    if isinstance(event, dict):
        return read(provider, event)
    return ProviderEvent(key="", names=(), verdicts=(unread("What is no JSON"),))
