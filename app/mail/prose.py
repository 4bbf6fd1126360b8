"""Whether a mail in prose is a notice of a mail system at all, and whether it only warns of delay.

A person may write about user@example.com and failures, too; so the mail must say in its headers
that a mail system sent it, or speak as only they do.
"""

import re

from app.mail.message import Headers

_DAEMON = re.compile(
    r"mailer[-_. ]?daemon|mail[-_. ]?daemon|post[-_ ]?master|mdaemon|mail delivery|delivery (?:sub)?system|"
    r"mail (?:administrator|system|server|deliver)|system administrator|bounce|postoffice|non-?delivery|"
    r"mail\.?er@|undeliver|microsoft exchange|internet mail|mmdf|smtp\b|delivery (?:status|service|agent)|mta\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"undeliver|un-?deliverable|returned (?:mail|to sender|message|e-?mail)|return(?:ed|ing) (?:your )?(?:mail|message)|"
    r"(?:mail|message|delivery|email|nondelivery|e-mail)(?: \S{1,20}){0,3}? (?:fail|error|problem|status|report|"
    r"notif|rejected|bounced|returned|delayed|warning|not|could)|"
    r"failure (?:notice|report|delivery)|delivery[ :_-]{1,3}(?:\S{1,20} )?(?:fail|status|notif|report|error|problem|delay)|"
    r"fail(?:ed|ure)(?: \S{1,20}){0,3} (?:mail|deliver|message|notice)|non-?deliver|not delivered|"
    r"could ?n[o']t (?:be )?(?:send|deliver|sent)|can(?:no|')t (?:be )?(?:send|deliver|sent)|"
    r"not be (?:sent|delivered)|warning: (?:could|message|delivery)|\bndn\b|\bndr\b|"
    r"bounce|user unknown|unknown (?:user|recipient|address)|mail system error|message status|mail ?block|"
    r"blocked by|mailbox (?:full|unavail|quota)|unzustellbar|nicht zugestellt|non remis|non (?:di)?stribu|"
    r"non recapitabil|mancato recapito|onbestelbaar|niet (?:afgeleverd|bezorgd)|no (?:se pudo|entregad)|"
    r"devuelto|nieudane|niedostarcz|zwrot|nao entregue|n[aã]o entregue|olevererbar|kan inte|ei voitu|"
    r"недостав|не доставлен|エラー|配信|配送|未送達|送信できま|戻り|退信|无法投递",
    re.IGNORECASE,
)
_SPEAKS = re.compile(
    r"(?:message|mail|e-?mail|delivery)(?: [^ ]{1,60}){0,8}? (?:could not|couldn't|cannot|can't|can not|was not|has not|"
    r"wasn't|is not|not)(?: yet)?(?: been| be)? (?:deliver|sent\b|reach|complet)|"
    r"(?:did not|not) reach(?:ed)? the following|undeliver(?:able|ed)|"
    r"unable to (?:deliver|send|complete|process)|delivery (?:to|for|of|failed|failure|attempt|status|error|problem|has)|"
    r"(?:following|these) (?:\S{1,20} )?(?:recipient|address|user|e-?mail)|permanent (?:fatal )?(?:error|failure)|"
    r"returned (?:to (?:sender|you)|mail|message|as|below|un)|mail delivery (?:software|system|sub|fail)|"
    r"transcript of session|user unknown|unknown user|recipient(?:s)? (?:was |is |were )?(?:rejected|unknown|not|invalid)|"
    r"message (?:was|has been|is being) (?:rejected|returned|bounced|blocked|refused)|no such (?:user|mailbox)|"
    r"fail(?:ed|ure)(?: \S{1,30}){0,5} deliver|nicht zugestellt|n'a pas pu|no (?:se )?pudo|non [eè] stato|kon niet|"
    r"nie mo[zż]e|не может быть|配信|送信できません|account that you tried",
    re.IGNORECASE,
)
_DELAY = re.compile(
    r"this is (?:only )?a warning|warning message only|delivery (?:\S{1,20} )?(?:is |has been |was )?(?:temporarily )?"
    r"(?:delay|deferred|postponed)|(?:has|have) not (?:yet )?been (?:yet )?(?:delivered|collected|possible)|(?:will|shall) "
    r"(?:continue|keep|still|be retr|retry|try again|attempt again|automatically)(?! \S{0,20}not)|"
    r"not yet (?:been )?deliver|still (?:be|being) (?:retried|attempted|tried)|you do not need to re-?send|"
    r"no action is required|temporary (?:failure|problem)[^.]{0,80}will|message (?:is|was|has been) delayed|"
    r"will be (?:re)?tried|delivery attempts will|keeps? trying|has been delayed|in attesa|"
    r"will not be returned|queued (?:mail )?for (?:re)?delivery",
    re.IGNORECASE,
)
_DELAY_SUBJECT = re.compile(
    r"delay|warning|deferred|still (?:being|trying)|not yet|verz[oö]ger|retard|ritard|temporar",
    re.IGNORECASE,
)
_FINAL = re.compile(
    r"permanent(?:ly)? (?:fatal |delivery )?(?:error|failure|fail)|failed permanently|given up|giving up|"
    r"(?:will|has) not be (?:re)?tr|returned to sender|no further (?:delivery )?attempts?|permanently rejected|"
    r"will not continue|won't be retried|message (?:is being |has been )?returned|could not be delivered for|"
    r"action: failed",
    re.IGNORECASE,
)
_LONGEST = 12_000


def looks_like_notice(headers: Headers, text: str) -> bool:
    """Tell whether a mail in prose comes from a mail system and is about a delivery."""
    if headers.first("x-failed-recipients"):
        return True
    said = bool(_SPEAKS.search(" ".join(text[:_LONGEST].split())))
    titled = bool(_SUBJECT.search(headers.first("subject")[:500]))
    if is_from_daemon(headers):
        return said or titled
    if "in-reply-to" in headers and not titled:
        return False
    return said and titled


def is_from_daemon(headers: Headers) -> bool:
    """Tell whether the sender is a mail system: by its name, or by an empty return path."""
    if headers.first("return-path").strip() == "<>":
        return True
    names = ("from", "sender", "return-path")
    return any(_DAEMON.search(headers.first(name)[:500]) for name in names)


def is_delay_notice(headers: Headers, text: str) -> bool:
    """Tell whether a notice only warns: the mail is still being tried."""
    said = " ".join(text[:_LONGEST].split())
    if _FINAL.search(said):
        return False
    if _DELAY.search(said):
        return True
    return bool(_DELAY_SUBJECT.search(headers.first("subject")[:500]) and "retr" in said)
