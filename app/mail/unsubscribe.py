"""Wishes to be left alone: mail to `unsubscribe+<token>`, and answers that say only that.

An answer counts only when its subject or its whole own text is the wish: a person who writes
"do not unsubscribe me" keeps the list.
"""

import re

from app.mail.message import Headers

_SUBJECT = re.compile(
    r"^\W{0,3}(?:(?:re|fwd?|aw|sv)\s?:\s{0,3}){0,4}(?:please\s)?(?:unsubscribe|unsub|remove|opt[ -]?out|stop|"
    r"abmelden|abbestellen|austragen|d[eé]sinscri\w{1,4}|se d[eé]sabonner|d[eé]sabonn\w{1,6}|darme de baja|"
    r"cancelar suscripci[oó]n|cancelar|disiscri\w{1,5}|afmelden|uitschrijven|wypisz|отписаться)"
    r"(?:\s+me)?(?:\s+from (?:this|your|the) (?:mailing )?list)?\s*[.!]{0,3}$",
    re.IGNORECASE,
)
_SAID = re.compile(
    r"^\W{0,3}(?:hi|hello|hallo|bonjour)?\W{0,3}(?:please\s|kindly\s|pls\s|bitte\s)?(?:unsubscribe|unsub|"
    r"remove|opt[ -]?out|stop(?: (?:sending|e-?mailing|mailing|contacting)(?: me| us)?)?|take|delete|abmelden|"
    r"abbestellen|d[eé]sinscrire|darme de baja|afmelden)"
    r"(?:\s(?:me|us|this address|my (?:e-?mail|address|name)(?: address)?|off|from|(?:this|your|the) "
    r"(?:mailing |e-?mail )?lists?|your (?:e-?mails|mails|newsletters?|database)|any more|anymore|now|"
    r"these|e-?mails|mails|immediately|please|thanks|thank you))*\W{0,5}$",
    re.IGNORECASE,
)
_LONGEST = 200


def wants_to_leave(headers: Headers, own_text: str) -> bool:
    """Tell whether a mail asks for nothing but to be taken off the list.

    `own_text` is the answer without what it quotes (app/mail/thread.py).
    """
    subject = headers.first("subject").strip()[:_LONGEST]
    if _SUBJECT.match(subject) and not subject.lower().startswith(("re:", "aw:")):
        return True
    said = " ".join(own_text.split())
    return len(said) <= _LONGEST and _SAID.match(said) is not None
