"""The rules that class a bounce, as data: what each matches, its class, and why (TRUST.md, "Mail").

The first rule that matches decides. Suppressing a living mailbox is worse than mailing a dead one
once more, so a hard class needs a clear code or clear words, and words for a full mailbox, a
refusal or a broken network win over a vague code. A relay that is down makes no mailbox hard.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from app.mail import phrases


class BounceClass(StrEnum):
    """What an answer says about one recipient."""

    HARD = "hard"  # the mailbox or its domain does not exist: suppressed
    SOFT = "soft"  # may work another time: counted
    BLOCK = "block"  # the sender or the content was refused: nobody is suppressed
    COMPLAINT = "complaint"  # the recipient calls it spam: suppressed
    AUTO_REPLY = "auto-reply"  # a machine answers, such as a vacation notice
    UNSUBSCRIBE = "unsubscribe"  # the recipient wants no more mail, as a provider tells
    DELIVERED = "delivered"  # evidence that it arrived
    DELAYED = "delayed"  # still being tried: no bounce
    NONE = "none"  # says nothing about delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One line of the table.

    All given conditions must hold: `text` is found and `unless` is not; the enhanced status or its
    class and subject (`5.7`) is in `statuses`; the SMTP code is in `codes`; `is_transient` agrees.
    """

    id: str
    class_: BounceClass
    why: str
    text: re.Pattern[str] | None = None
    unless: re.Pattern[str] | None = None
    statuses: frozenset[str] = frozenset()
    codes: frozenset[int] = frozenset()
    is_transient: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderSign:
    """What shows that a block is about who sends, not about this mail: its address, host or rate.

    Any of the given conditions is enough: `text`, `statuses`, the `rules` that decided.
    """

    id: str
    text: re.Pattern[str] | None = None
    statuses: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_HARD, _SOFT, _BLOCK = BounceClass.HARD, BounceClass.SOFT, BounceClass.BLOCK

RULES: tuple[Rule, ...] = (
    Rule(
        id="text.mailbox-full",
        class_=_SOFT,
        why="The mailbox is full.",
        text=phrases.MAILBOX_FULL,
        unless=phrases.TOO_BIG,
    ),
    Rule(
        id="status.mailbox-full",
        class_=_SOFT,
        why="The status says that the mailbox is full.",
        statuses=_set("5.2.2 4.2.2"),
    ),
    Rule(
        id="text.greylisted",
        class_=_SOFT,
        why="The server asks to come back later: greylisting.",
        text=phrases.GREYLISTED,
    ),
    Rule(
        id="text.no-such-domain",
        class_=_HARD,
        why="DNS says that the recipient's domain does not exist (NXDOMAIN), whatever the status.",
        text=phrases.NO_SUCH_DOMAIN,
        unless=phrases.GREYLISTED,
    ),
    Rule(
        id="transient.network",
        class_=_SOFT,
        why="A host could not be reached in time; that says nothing about the mailbox.",
        text=phrases.NETWORK,
        is_transient=True,
    ),
    Rule(
        id="transient",
        class_=_SOFT,
        why="The failure was temporary (4xx) until the time for delivery ran out.",
        is_transient=True,
    ),
    Rule(
        id="text.sender-refused",
        class_=_BLOCK,
        why="The sender, not the recipient, was refused.",
        text=phrases.SENDER_REFUSED,
    ),
    Rule(
        id="status.sender-refused",
        class_=_BLOCK,
        why="The status says that the sender's address was refused.",
        statuses=_set("5.1.7 5.1.8"),
        unless=phrases.USER_UNKNOWN,
    ),
    Rule(
        id="text.relay-denied",
        class_=_BLOCK,
        why="The server does not take mail for this domain from us.",
        text=phrases.RELAY_DENIED,
    ),
    Rule(
        id="text.user-unknown-policy",
        class_=_BLOCK,
        why="Words of a refusal stand beside those of an unknown user: not certain enough.",
        text=phrases.USER_UNKNOWN,
        statuses=_set("5.7"),
        unless=phrases.NO_REFUSAL,
    ),
    Rule(
        id="text.network",
        class_=_SOFT,
        why="A host could not be reached; that says nothing about the mailbox.",
        text=phrases.UNREACHABLE,
        unless=phrases.USER_UNKNOWN,
    ),
    Rule(
        id="text.user-unknown",
        class_=_HARD,
        why="The server says that there is no such user.",
        text=phrases.USER_UNKNOWN,
        unless=phrases.MAYBE_UNKNOWN,
    ),
    Rule(
        id="text.too-big",
        class_=_SOFT,
        why="The mail is too big for the recipient.",
        text=phrases.TOO_BIG,
    ),
    Rule(
        id="text.spam-or-policy",
        class_=_BLOCK,
        why="The mail was refused as spam, by a blocklist or by a policy.",
        text=phrases.REFUSED,
    ),
    Rule(
        id="text.disabled",
        class_=_HARD,
        why="The server says that the mailbox is disabled.",
        text=phrases.DISABLED,
        unless=phrases.TEMPORARY,
    ),
    Rule(
        id="text.null-mx",
        class_=_HARD,
        why="The domain says that it takes no mail (null MX, RFC 7505).",
        text=phrases.NULL_MX,
    ),
    Rule(
        id="text.host-unknown",
        class_=_HARD,
        why="The recipient's domain does not exist.",
        text=phrases.HOST_UNKNOWN,
        unless=phrases.TEMPORARY,
    ),
    Rule(
        id="status.bad-address",
        class_=_HARD,
        why="The status says that the address or its domain does not exist.",
        statuses=_set("5.1.1 5.1.2 5.1.3 5.1.6 5.1.10"),
    ),
    Rule(
        id="status.too-big",
        class_=_SOFT,
        why="The status says that the mail is too big.",
        statuses=_set("5.3.4 5.2.3"),
    ),
    Rule(
        id="status.policy",
        class_=_BLOCK,
        why="The status says that security or policy forbade it.",
        statuses=_set("5.7"),
    ),
    Rule(
        id="text.content",
        class_=_BLOCK,
        why="The content of the mail was refused.",
        text=phrases.CONTENT,
    ),
    Rule(
        id="status.expired",
        class_=_SOFT,
        why="The time for delivery ran out, or the host did not answer.",
        statuses=_set("5.4.1 5.4.2 5.4.5 5.4.7"),
        unless=phrases.DENIED,
    ),
    Rule(
        id="text.system",
        class_=_SOFT,
        why="The receiving system failed; that says nothing about the mailbox.",
        text=phrases.SYSTEM,
    ),
    Rule(
        id="status.routing",
        class_=_BLOCK,
        why="The status says that the mail could not be routed.",
        statuses=_set("5.4"),
    ),
    Rule(
        id="status.mailbox-disabled",
        class_=_SOFT,
        why="5.2.1 says that the mailbox takes no mail; no words say that it is gone.",
        statuses=_set("5.2.1"),
    ),
    Rule(
        id="text.mailbox-unavailable",
        class_=_HARD,
        why="A 550 says that the mailbox is not available.",
        text=phrases.MAILBOX_UNAVAILABLE,
        codes=frozenset({550, 553}),
    ),
    Rule(
        id="text.denied",
        class_=_BLOCK,
        why="Access was denied without saying that the user is unknown.",
        text=phrases.DENIED,
    ),
    Rule(
        id="status.permanent",
        class_=_SOFT,
        why="Permanent (5xx), but neither code nor words say that the mailbox is gone.",
        is_transient=False,
    ),
    Rule(
        id="text.network-unsure",
        class_=_SOFT,
        why="A host could not be reached; that says nothing about the mailbox.",
        text=phrases.NETWORK,
    ),
    Rule(
        id="undecided",
        class_=_SOFT,
        why="It did not arrive, and the notice does not say why.",
    ),
)

# RFC 7372 and 8601 and the IANA registry: 5.7.20-5.7.29 are SPF, DKIM, reverse DNS and mail floods.
SENDER_SIGNS: tuple[SenderSign, ...] = (
    SenderSign(id="sender.refused", rules=_set("text.sender-refused status.sender-refused")),
    SenderSign(
        id="sender.unproven",
        text=phrases.SENDER_UNPROVEN,
        statuses=_set("5.7.20 5.7.21 5.7.22 5.7.23 5.7.24 5.7.25 5.7.26 5.7.27 5.7.29"),
    ),
    SenderSign(id="sender.listed", text=phrases.SENDER_LISTED),
    SenderSign(id="sender.too-fast", text=phrases.SENDER_TOO_FAST, statuses=_set("5.7.28 4.7.28")),
)
