"""What a mail provider tells over HTTP, in one shape, and how its word is weighed. Pure.

A provider says what became of a mail in words of its own (a table in each provider's module), and
often quotes the receiving server. Where the quote decides by our rules (app/mail/classify) it
counts, except that nobody is suppressed whom the provider itself does not call dead.
"""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import orjson

from app.errors import Forbidden
from app.mail.classify import Evidence, Verdict, classify, is_decided
from app.mail.dsn import Action
from app.mail.rules import BounceClass
from app.mail.status import status_field
from app.mail.verp import CodedDomain, named_by

MOST_EVENTS = 10_000
_MOST_NAMES = 20
_LONGEST = 4_000
_ECHOED = re.compile(r"[0-9a-f]{32}")


class Provider(StrEnum):
    """Whose events are read."""

    SES = "ses"
    POSTMARK = "postmark"
    SENDGRID = "sendgrid"
    MAILGUN = "mailgun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """One line of a provider's table: the class of what it says, and why."""

    class_: BounceClass
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderEvent:
    """One event. `key` is the same each time it is told; `names` may name the mail it is about.

    `verdicts` has one entry per recipient it speaks of, and at least one.
    """

    key: str
    names: tuple[str, ...]
    verdicts: tuple[Verdict, ...]

    def email_ids(self, coded: CodedDomain | None) -> list[UUID]:
        """Return the e-mails its names name, likeliest first: ids we had echoed, Message-IDs, VERP."""
        found = (_named(name.strip(), coded) for name in self.names[:_MOST_NAMES])
        return list(dict.fromkeys(one for one in found if one is not None))


def _named(name: str, coded: CodedDomain | None) -> UUID | None:
    if _ECHOED.fullmatch(name):
        return UUID(name)
    if (email_id := named_by(name)) is not None:
        return email_id
    said = coded.read(name) if coded is not None else None
    return said.email_id if said is not None else None


def loaded(body: bytes) -> Any:
    """Return what a body says in JSON; None for what is none, or lies deeper than we could keep."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        found = _mended(body)
    try:
        orjson.dumps(found)  # it reads 1,024 levels and writes 254
    except orjson.JSONEncodeError:
        return None
    return found


def _mended(body: bytes) -> Any:
    """Return what a body says with `?` for half characters: one must not cost a whole batch."""
    try:
        return orjson.loads(
            json.dumps(json.loads(body), ensure_ascii=False).encode(errors="replace")
        )
    except (ValueError, RecursionError):
        return None


def text(event: object, *path: str | int) -> str:
    """Return the text or number at a place of an event; empty for none, never longer than 4,000."""
    found = at(event, *path)
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return ""
    return str(found).replace("\0", "")[:_LONGEST].strip()


def at(event: object, *path: str | int) -> object:
    """Return what stands at a place of an event; None for nothing."""
    for step in path:
        if isinstance(event, Mapping) and isinstance(step, str):
            event = event.get(step)
        elif isinstance(event, list) and isinstance(step, int) and step < len(event):
            event = event[step]
        else:
            return None
    return event


def listed(event: object, *path: str) -> list[Any]:
    """Return the list at a place of an event, its first hundred entries; empty for none."""
    found = at(event, *path)
    return found[:100] if isinstance(found, list) else []


def key_of(event: object, *parts: str) -> str:
    """Return the parts as one key; the digest of the whole event when the first one is empty."""
    if parts and parts[0]:
        return "/".join(parts)[:300]
    return hashlib.sha256(orjson.dumps(event)).hexdigest()


def plain(address: str, meaning: Meaning, rule: str) -> Verdict:
    """Return the verdict that a provider's word alone gives."""
    return Verdict(
        address=address, class_=meaning.class_, status="", rule=rule, explanation=meaning.why
    )


def weighed(told: Verdict, quoted: str, status: str = "") -> Verdict:
    """Return the verdict on a failure: by the server's own words when they decide, else as told.

    `quoted` is what the receiving server said, `status` its enhanced status code, if known.
    """
    field = status_field(status)
    if not quoted and field is None:
        return told
    evidence = Evidence(
        address=told.address, action=Action.FAILED, status=field, diagnostic=quoted[:_LONGEST]
    )
    own = classify(evidence)
    is_rash = own.class_ is BounceClass.HARD and told.class_ is not BounceClass.HARD
    if is_decided(own) and not is_rash:
        return own
    return dataclasses.replace(told, status=own.status)


def unread(what: str, address: str = "") -> Verdict:
    """Return the verdict on an event that says nothing about delivery, such as an open."""
    why = f"{what[:100] or 'An event without a type'} says nothing about delivery."
    return plain(address, Meaning(class_=BounceClass.NONE, why=why), "provider.not-read")


def refused() -> Forbidden:
    """Return the one answer to whoever cannot prove to be the provider; it tells nothing else."""
    return Forbidden(
        "This is no event of a provider that is known here.",
        why="The address is not one that was given out, or the signature does not hold.",
        fix="Compare URL, secret and topic with the provider hook (docs/inbound.md, Providers).",
    )


def objects(found: Sequence[object]) -> list[dict[str, Any]]:
    """Return those of a list that are JSON objects."""
    return [one for one in found if isinstance(one, dict)]
