"""Bounces in prose: who failed, and the words beside each address.

Exim, qmail (QSBMF), sendmail, Exchange, Domino, Groupwise, Yahoo and many others write notices for
people. They agree in little, but each puts the failed address where it stands out: alone on a line,
in brackets before a colon, behind a label, in an SMTP reply. Those places have strengths; the
strongest that is found names the recipients.
"""

import itertools
import re
from dataclasses import dataclass

from app.mail.message import Headers, Part
from app.mail.recipient import ADDRESS, addresses_in, unique

_MOST_LINES, _BLOCK_LINES, _LONGEST = 600, 12, 6_000
_MOST_FAILURES = 40

# Where the returned mail starts; what follows belongs to the sender, not to the notice.
# Marks that no notice uses otherwise, and those that count when header fields follow.
_CUT = re.compile(
    r"^[\s>|]{0,8}(?:[-=_*#~.]{1,80}\s?|a |this is a |here is a |the following is a |included is a )"
    r"(?:below this line is |begin |start of |this is )?(?:an? |the )?(?:copy of|unsent|returned|undelivered|"
    r"original message (?:follows|text)|header of the original|message header follows|message body suppressed|"
    r"original message below)\b.{0,100}$",
    re.IGNORECASE,
)
_RETURNED = re.compile(
    r"^[\s>|]{0,8}(?:"
    r"[-=_*#~.]{2,80}\s?.{0,60}\b(?:copy|original|returned|undelivered|unsent|failed|your|rejected|rfc822|"
    r"forwarded|header|begin|start|message)\b.{0,80}"
    r"|(?:this|here|the following|below|included|attached)\b.{0,60}\b(?:copy|headers?|text|portion)\b.{0,40}\b"
    r"(?:message|mail|headers?|text|lines)\b.{0,60}"
    r"|(?:the )?(?:original|unsent|undelivered|returned|rejected) (?:message|mail|e-?mail)"
    r"(?: (?:headers?|text|body|content|details?|info))?(?: follows| is| was| below| attached)?\s{0,3}[.:-]{0,5}"
    r"|message (?:headers?|text|contents?)(?: follows?)?\s{0,3}:"
    r"|received:.{0,200}|(?:return-path|delivered-to|x-original-to|dkim-signature|x-received):.{0,200}"
    r")\s*$",
    re.IGNORECASE,
)
_STARTS_WITH_MAIL = re.compile(
    r"^[>\s]{0,4}(?:received:\s+(?:from|by|\()|return-path:\s*<|mime-version:)", re.IGNORECASE
)
_FIELD = re.compile(r"^[\s>|*]{0,8}[A-Za-z][\w -]{1,40}:\s|^[\s>]{0,8}From \S+@|^\s+\S")
_MAIL_FIELD = re.compile(
    r"^[\s>|*]{0,8}(?:received|return-path|message-id|from|date|dkim-|x-|delivered|mime-|to|subject)"
    r"\S{0,30}\s?:",
    re.IGNORECASE,
)
_NOT_FAILED = re.compile(
    r"\b(?:from|sender|reply-?to|return-?path|message-?id|mail from|envelope.?from|references|in-reply-to|"
    r"originator|received|x-[\w-]+|list-[\w-]+|errors-to|cc|date|organi[sz]ation)\s*[:=]|"
    r"mail from\b|envelope-from|\b(?:contact|please (?:call|e-?mail|write|send|forward|notify|ask|direct)|"
    r"assistance|support|help ?desk|questions?|complain|for more info|administrator at|"
    r"report (?:this|the) |reply to this|feedback|postmaster of|for example|try (?:e-?mailing|\S+@))\b|\be\.g\.",
    re.IGNORECASE,
)
_SENT_BY = re.compile(
    r"\b(?:sent|from|by|sender|originator)(?: by| from)?\s{0,3}:?\s*$", re.IGNORECASE
)
_TO = re.compile(r"^[\s>*-]{0,20}to\s{0,8}:", re.IGNORECASE)
_MARKED = re.compile(r"\bsmtp[:=]\S{1,64}@", re.IGNORECASE)
_STATED = re.compile(
    rf"(?:unable to|not|n[o']t) (?:be )?(?:deliver|sen[dt])\S{{0,3}}(?: \S{{1,20}}){{0,4}}? to:? <?{ADDRESS}",
    re.IGNORECASE,
)
_USER = re.compile(r"[\w][\w.+-]{1,63}")
_LABELLED = re.compile(
    r"^[\s>*#-]*(?:(?:failed|final|original|intended|invalid|the|actual|e-?mail|bad|unknown) )*"
    r"(?:recipients?|addressees?|e-?mail|mailbox|user|account|rcpt to|envelope-to|destinatari[oa]|destinataire|"
    r"empfänger|recipient(?:'s)? (?:e-?mail )?address|address|delivery to|forward-?path|could not deliver mail to|"
    r"destination|受信者|宛先)\s{0,8}(?:\[\d+\]|\(s\))?\s{0,8}[:=]\s*",
    re.IGNORECASE,
)
_ALONE = re.compile(
    rf"^[\s>*#•·-]{{0,40}}(?:\d{{1,3}}[.)]\s)?[<\[]?(?:mailto:|smtp:)?({ADDRESS})[>\]]?"
    r"(?:\s{0,40}$|\s*[:;,]|\s+(?:on|at|-|\(|\[|\.\.\.|=>|->|is|was|has|does|unknown|failed|delivery|could|"
    r"rejected|user|no|not|invalid|mailbox)|\s*[(\[])",
    re.IGNORECASE,
)
_BRACKETED = re.compile(rf"^[\s>*-]{{0,20}}(?:\"[^\"]{{0,80}}\"\s*)?<({ADDRESS})>")
_SESSION = re.compile(
    r"rcpt to:|^[\s>*]*(?:<<<|>>>|said:)|\b[45]\d\d[ -]|#[45]\.\d\.\d|\b[45]\.\d\.\d{1,2}\b",
    re.IGNORECASE,
)
_FAILING = re.compile(
    r"fail|undeliver|not (?:be )?deliver|n[o']t (?:be )?(?:sent|delivered|reach)|unable|reject|unknown|no such|"
    r"does ?n[o']t|not (?:exist|found|known|valid|listed|accept|recogni)|invalid|full|quota|bounce|disabled|error|"
    r"could not|couldn't|cannot|can't|refus|denied|no longer|unrecogni|returned|problem|delay|inactive|"
    r"following|permanent|niet|kon |nicht|pas |inconnu|unbekannt|desconocid|no pudo|nie ",
    re.IGNORECASE,
)
_ROLE = re.compile(
    r"^(?:postmaster|mailer-daemon|abuse|mailadm|hostmaster|webmaster|helpdesk|support|noc)@",
    re.IGNORECASE,
)
_ORIGIN = re.compile(
    rf"(?:expanded from|generated from|forwarded from|alias|original recipient)[:\s]*<?({ADDRESS})",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One recipient a notice names, and the words that go with it."""

    address: str
    words: str


def notice_text(parts: list[Part]) -> tuple[str, str]:
    """Return what a mail says to people, and the mail it returns within the same text."""
    plain = [part.text for part in parts if part.kind in {"text/plain", "text/x-preamble"}]
    texts = [text for text in plain if text.strip() and not _is_mime_hint(text)]
    if not texts:
        kinds = ("text/", "message/del")
        texts = [
            one.text for one in parts if one.kind.startswith(kinds) and not _is_mime_hint(one.text)
        ]
    return _own_words("\n".join(texts))


def _is_mime_hint(text: str) -> bool:
    lowered = text.lower()
    return len(text) < 400 and "mime" in lowered and "@" not in text and "fail" not in lowered


def _own_words(text: str) -> tuple[str, str]:
    lines = text.split("\n")[:_MOST_LINES]
    for index in range(1, len(lines)):
        if _starts_returned_mail(lines, index) and any(one.strip(" -=_*") for one in lines[:index]):
            return "\n".join(lines[:index]), "\n".join(lines[index:])
    return "\n".join(lines), ""


def _starts_returned_mail(lines: list[str], index: int) -> bool:
    line = lines[index][:300]
    if _CUT.match(line) or _STARTS_WITH_MAIL.match(line):
        return True
    return bool(_RETURNED.match(line)) and _has_header_next(lines, index)


def _has_header_next(lines: list[str], index: int) -> bool:
    """Tell whether header fields follow: `Your message:` alone may still introduce the failure."""
    following = [line for line in lines[index + 1 : index + 8] if line.strip(" >|-=_*\t")][:3]
    return all(_FIELD.match(line) for line in following) and (
        not following or any(_MAIL_FIELD.match(line) for line in following)
    )


def failures_in(text: str, senders: set[str], returned: list[str]) -> list[Failure]:
    """Return the recipients a notice names, strongest place first.

    `senders` are the addresses the notice came to, in lower case: they are only believed when
    nobody else is named. `returned` are the recipients of the returned mail.
    """
    lines = [line[:600] for line in text.split("\n")]
    ranked = _ranked(lines)
    chosen = _chosen(ranked, senders, returned)[:_MOST_FAILURES]
    return [Failure(address=one, words=words_about(text, one, chosen)) for one in chosen]


def _ranked(lines: list[str]) -> dict[str, int]:
    """Return each address with the strength of its best place: 4 marked, 3 session, 2 said, 1 seen."""
    best: dict[str, int] = {}
    is_intro, before = False, ""
    for line in lines:
        if not line.strip():
            continue
        if "@" in line:
            strength = 0 if _SENT_BY.search(before) else _strength(line, is_intro)
            for address in addresses_in(_ORIGIN.sub("", line)):
                weaker = min(strength, 1) if _ROLE.match(address) and strength < 4 else strength
                best[address] = max(best.get(address, 0), weaker)
        elif _FAILING.search(line):
            is_intro = True
        before = line
    return best


def _strength(line: str, is_intro: bool) -> int:  # noqa: FBT001 - a fact
    is_failing = is_intro or _FAILING.search(line) is not None
    if _MARKED.search(line) or _STATED.search(line):
        return 4
    if _LABELLED.match(line):
        return 4 if is_failing else 3
    if _NOT_FAILED.search(line):
        return 0
    if _BRACKETED.match(line) or _ALONE.match(line):
        return 4 if is_failing or _SESSION.search(line) else 2
    if _SESSION.search(line) and not _TO.match(line):
        return 3
    return 2 if _TO.match(line) or _FAILING.search(line) else 1


def _chosen(ranked: dict[str, int], senders: set[str], returned: list[str]) -> list[str]:
    known = {address.lower() for address in returned}
    others = {one: rank for one, rank in ranked.items() if one.lower() not in senders}
    pool = others if max(others.values(), default=0) >= 2 else ranked
    for strength in (4, 3, 2):
        found = [one for one, rank in pool.items() if rank == strength]
        told = [one for one in found if one.lower() in known]
        if told and strength < 4:
            return unique(told)
        if found:
            weaker = [one for one, rank in pool.items() if one.lower() in known and rank >= 2]
            return unique(weaker if weaker and strength < 4 else found)
    seen = [one for one, rank in others.items() if rank == 1]
    told = [one for one in seen if one.lower() in known]
    return unique(told) or (seen if len(seen) == 1 else [])


def users_in(text: str, domain: str) -> list[str]:
    """Return users a notice names without a domain, alone on a line below its reason, at `domain`.

    Large providers speak of their own users so.
    """
    lines = [line.strip() for line in text.split("\n") if line.strip()][:_MOST_LINES]
    found: list[str] = []
    for before, line in itertools.pairwise(lines):
        if before.endswith(":") and _FAILING.search(before) and _USER.fullmatch(line):
            found.append(f"{line}@{domain}")
    return found[:1] if domain else []


def words_about(text: str, address: str, everyone: list[str]) -> str:
    """Return the lines about one address; the whole notice when it is the only one."""
    lines = [line[:600] for line in text.split("\n")]
    if len(everyone) == 1:
        return "\n".join(lines)[:_LONGEST]
    others = [one.lower() for one in everyone if one != address]
    wanted, kept, left = address.lower(), [], 0
    for line in lines:
        lowered = line.lower()
        if wanted in lowered:
            left = _BLOCK_LINES
        elif any(other in lowered for other in others):
            left = 0
        if left > 0:
            kept.append(line)
            left -= 1
    return "\n".join(kept)[:_LONGEST]


def returned_recipients(headers: list[Headers]) -> list[str]:
    """Return whom returned mails were addressed to; To of a list's mail names the list, nobody."""
    names = ("x-failed-recipients", "envelope-to", "to", "cc", "resent-to", "apparently-to")
    values = [
        value
        for one in headers
        if "list-id" not in one
        for name in names
        for value in one.all(name)
    ]
    return unique(address for value in values for address in addresses_in(value))
