"""Answers of machines: vacation notices, receipts, challenges (RFC 3834, RFC 8098).

The headers of RFC 3834 decide; subjects only where a machine did not mark itself. A person who
writes "I am on vacation next week" in an answer is a person.
"""

import re

from app.mail.message import Headers

_AUTO_HEADERS = (
    "x-autoreply",
    "x-autorespond",
    "x-auto-reply",
    "x-autoresponder",
    "x-vacation",
    "x-mail-autoreply",
)
_PRECEDENCE = frozenset({"auto_reply", "auto-reply", "autoreply"})
_SUBJECT = re.compile(
    r"^auto:\s|^\W{0,5}(?:(?:re|aw|sv|antw|auto)\s?:\s?)*(?:"
    r"(?:automatic|auto|automated)[ -]?(?:matic )?(?:reply|response|answer|responder|acknowledg)|autoreply|"
    r"out of (?:the )?office|(?:i am |i'm |i will be )?(?:on|am on) vacation|vacation|away from|"
    r"ooo\b|on leave|on holiday|abwesen|abwesenheits|automatische (?:antwort|r[eé]ponse)|automatisch antwoord|"
    r"r[eé]ponse automatique|message d'absence|absence|risposta automatica|fuori (?:sede|ufficio)|"
    r"respuesta autom[aá]tica|fuera de (?:la )?oficina|resposta autom[aá]tica|ausente|automatiskt svar|"
    r"autosvar|automaattinen|autoodpowied[zź]|automatyczna odpowied|nieobecno|автоответ|自動返信|自动回复|"
    r"不在|부재|urlaub|frånvaro|afwezig|currently (?:out|away)|i am (?:currently )?(?:out|away))",
    re.IGNORECASE,
)
_CHALLENGE = re.compile(
    r"(?:confirm|verify|verification|action required|authori[sz]e|approv).{0,60}(?:your (?:e-?mail|message)|"
    r"sender|delivery)|boxbe|spamarrest|challenge.?response|please confirm your|whitelist",
    re.IGNORECASE,
)


def is_marked_automatic(headers: Headers) -> bool:
    """Tell whether a mail says of itself that a machine answered (RFC 3834, 5)."""
    submitted = headers.first("auto-submitted").partition(";")[0].strip().lower()
    if submitted.startswith(("auto-replied", "auto-notified")):
        return True
    if any(headers.first(name) for name in _AUTO_HEADERS):
        return True
    return headers.first("precedence").strip().lower() in _PRECEDENCE


def has_vacation_subject(headers: Headers) -> bool:
    """Tell whether the subject is one that vacation programs write."""
    return _SUBJECT.match(headers.first("subject")[:300]) is not None


def is_challenge(headers: Headers, text: str) -> bool:
    """Tell whether a mail asks the sender to prove that a person sent it."""
    return bool(
        _CHALLENGE.search(headers.first("subject")[:300])
        and _CHALLENGE.search(text[:4_000])
        and re.search(r"https?://", text[:20_000])
    )
