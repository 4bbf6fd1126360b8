"""Which mail an answer belongs to, and what its writer wrote (RFC 5322, 3.6.4).

The threading fields name our Message-ID; the text is split into the writer's words and what is
quoted below them.
"""

import re
from dataclasses import dataclass

from app.mail.message import Headers, Part

_ID = re.compile(r"<([^<>\s]{1,400})>")
_MOST_IDS, _LONGEST = 100, 64 * 1024
_INTRO = re.compile(
    r"^\W{0,4}(?:on\b.{4,200}\bwrote|am\b.{4,200}\bschrieb.{0,80}|le\b.{4,200}\ba [eé]crit|el\b.{4,200}\bescribi[oó]|"
    r"il\b.{4,200}\bha scritto|op\b.{4,200}\bschreef.{0,80}|em\b.{4,200}\bescreveu|den\b.{4,200}\bskrev.{0,80}|"
    r"w dniu\b.{4,200}\bnapisa.{0,80}|.{2,120}<[^<>\s]{3,120}>\s(?:wrote|schrieb|a [eé]crit))\s?:?\s*$",
    re.IGNORECASE,
)
_INTRO_START = re.compile(r"^(?:on|am|le|el|il|op|em|den)\s.{4,120}$", re.IGNORECASE)
_RULE = re.compile(
    r"^\s{0,3}(?:-{2,}\s?(?:original message|ursprüngliche nachricht|forwarded message|message d'origine|"
    r"mensaje original|messaggio originale|oorspronkelijk bericht|original appointment).{0,20}|_{20,}\s*|"
    r"begin forwarded message:)\s*$",
    re.IGNORECASE,
)
_HEADER_BLOCK = re.compile(
    r"^\W{0,3}(?:from|von|de|da|van|fra|od)\s?:\W{0,3}\S.{0,200}$", re.IGNORECASE
)
_SENT = re.compile(
    r"^\W{0,3}(?:sent|date|gesendet|envoy[eé]|enviado|inviato|verzonden|datum|sendt|skickat)\s?:",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thread:
    """Where a mail stands in a conversation; ids without their angle brackets."""

    message_id: str
    in_reply_to: tuple[str, ...]
    references: tuple[str, ...]

    @property
    def ancestors(self) -> tuple[str, ...]:
        """Return the mails this one answers, nearest first, each once."""
        return tuple(dict.fromkeys([*self.in_reply_to, *reversed(self.references)]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A text taken apart: the writer's own words, and what is quoted."""

    own: str
    quoted: str


def read_thread(headers: Headers) -> Thread:
    """Return the threading facts of a mail."""
    return Thread(
        message_id=next(iter(_ids(headers, "message-id")), ""),
        in_reply_to=_ids(headers, "in-reply-to"),
        references=_ids(headers, "references"),
    )


def _ids(headers: Headers, name: str) -> tuple[str, ...]:
    found = [one for value in headers.all(name) for one in _ID.findall(value)]
    return tuple(dict.fromkeys(found[-_MOST_IDS:]))


def text_of_parts(parts: tuple[Part, ...]) -> str:
    """Return what a mail says: its plain text, or the text of its HTML."""
    own = [part for part in parts if part.level == 0 and part.text.strip()]
    for kind in ("text/plain", "text/html"):
        if texts := [part.text for part in own if part.kind == kind]:
            return "\n".join(texts)[:_LONGEST]
    return ""


def split_quotes(text: str) -> Written:
    """Return a text's own words and its quotes: from the first quote on, and lines with `>`."""
    lines = text[:_LONGEST].split("\n")
    own: list[str] = []
    for index, line in enumerate(lines):
        if _starts_quote(lines, index):
            rest = "\n".join(line for line in lines[index:])
            return Written(own="\n".join(own).strip(), quoted=rest.strip())
        if not line.lstrip().startswith(">"):
            own.append(line)
    quoted = [line for line in lines if line.lstrip().startswith(">")]
    return Written(own="\n".join(own).strip(), quoted="\n".join(quoted))


def _starts_quote(lines: list[str], index: int) -> bool:
    line = lines[index].strip()[:300]
    following = [one.strip()[:300] for one in lines[index + 1 : index + 3]]
    if _RULE.match(line) or _INTRO.match(line):
        return True
    if following and _INTRO_START.match(line) and _INTRO.match(f"{line} {following[0]}"):
        return True  # clients break "On ... wrote:" over two lines
    return bool(_HEADER_BLOCK.match(line) and any(_SENT.match(one) for one in following))
