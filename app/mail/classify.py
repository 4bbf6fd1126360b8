"""The verdict about one recipient: the evidence of a report or a notice held against the rules.

Order: the recipient's own fields and diagnostic first, the words of the notice only when those
decide nothing. The remote server's words count more than the status the reporting server chose.
"""

import re
from dataclasses import dataclass, replace

from app.mail.dsn import Action
from app.mail.reply import EnhancedStatus, Severity
from app.mail.rules import RULES, SENDER_SIGNS, BounceClass, Rule, SenderSign
from app.mail.status import meaning, status_in

_LONGEST = 3_000
_CODE = re.compile(r"(?:^|(?<=[\s:;(<\[\"'>=-]))([45]\d\d)(?=[\s\-#.,:;)\]<]|$)(?![.]\d)")
_CODES = frozenset(
    {
        421,
        450,
        451,
        452,
        454,
        455,
        471,
        500,
        501,
        502,
        503,
        504,
        510,
        511,
        512,
        513,
        515,
        517,
        520,
        521,
    }
    | {523, 530, 531, 533, 534, 535, 538, 540, 541, 542, 543, 545, 546, 547, 548}
    | {550, 551, 552, 553, 554, 555, 556, 557, 558, 559, 570, 571, 572, 573, 577, 580, 582, 590}
)
_SPACES = re.compile(r"\s+")
_LOOKED_UP = re.compile(
    r"(?:name service error for (?:name=)?|unrouteable mail domain \"?|lookup of |(?<=\[))<?([\w.-]+\.[a-z][\w-]+)"
)
# sendmail quotes the remote reply so, and adds words of its own that contradict it.
_REASON = re.compile(r"\(reason: ([^)]{4,500})\)", re.IGNORECASE)
_FOOTER = re.compile(
    r"\b(?:this|the information)(?: \S{1,20}){0,5}?(?: \S{1,20})? (?:is |are |may be |contains? )(?:\S{1,20} ){0,3}?"
    r"(?:confidential|privileged|intended (?:only|solely)|proprietary)",
)
_ABOUT_A_HOST = frozenset({"text.host-unknown", "text.no-such-domain"})
_UNDECIDED = frozenset(
    {"status.permanent", "undecided", "text.network-unsure", "text.denied", "status.routing"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer says about one recipient, and the rule that decided.

    `sender_sign`: by what a block is about the sender, not about this one mail; "" = it is not.
    """

    address: str
    class_: BounceClass
    status: str
    rule: str
    explanation: str
    sender_sign: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of one recipient: the fields of a report, the words beside its address.

    `diagnostic` is what its own fields say, `notice` what the text for people says.
    """

    address: str
    action: Action | None = None
    status: EnhancedStatus | None = None
    diagnostic: str = ""
    notice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    text: str
    domain: str
    status: EnhancedStatus | None
    code: int | None
    is_transient: bool | None


def classify(evidence: Evidence) -> Verdict:
    """Return the verdict about one recipient."""
    if evidence.action in {Action.DELIVERED, Action.RELAYED, Action.EXPANDED}:
        why = f"The server reports the action {evidence.action}."
        return _verdict(evidence, BounceClass.DELIVERED, f"action.{evidence.action}", why)
    if evidence.action is Action.DELAYED:
        why = "The server still tries: a delay is no bounce."
        return _verdict(evidence, BounceClass.DELAYED, "action.delayed", why)
    quoted = _REASON.search(evidence.diagnostic)
    facts = _facts(evidence, quoted[1] if quoted else evidence.diagnostic)
    rule = _decide(facts)
    if rule.id in _UNDECIDED and evidence.notice:
        wider = _facts(evidence, f"{evidence.diagnostic} {evidence.notice}")
        other = _decide(wider)
        if other.id not in _UNDECIDED or not evidence.diagnostic:
            facts, rule = wider, other
    explained = f"{rule.why} {_quoted(facts, rule)}".strip()
    status = _shown_status(evidence.status, facts.status)
    verdict = _verdict(evidence, rule.class_, rule.id, explained, status=status)
    return replace(verdict, sender_sign=_sender_sign(rule, facts))


def is_decided(verdict: Verdict) -> bool:
    """Tell whether a code or words decided, and not only that something failed."""
    return verdict.rule not in _UNDECIDED


def _verdict(
    evidence: Evidence, class_: BounceClass, rule: str, why: str, *, status: str | None = None
) -> Verdict:
    shown = str(evidence.status or "") if status is None else status
    return Verdict(
        address=evidence.address, class_=class_, status=shown, rule=rule, explanation=why
    )


def _shown_status(field: EnhancedStatus | None, told: EnhancedStatus | None) -> str:
    """Return the status of the report, or that of the text when the report's says nothing."""
    if field is not None and (field.subject, field.detail) != (0, 0):
        return str(field)
    return str(told or field or "")


def _facts(evidence: Evidence, words: str) -> _Facts:
    text = _SPACES.sub(" ", words[: 2 * _LONGEST].replace("_", " ")).strip().lower()[:_LONGEST]
    if footer := _FOOTER.search(text):
        text = text[: footer.start()]
    told = status_in(text)
    code = next((int(m[1]) for m in _CODE.finditer(text) if int(m[1]) in _CODES), None)
    return _Facts(
        text=text,
        domain=evidence.address.rpartition("@")[2].lower(),
        status=_weightier(evidence.status, told),
        code=code,
        is_transient=_is_transient(evidence.status, told, code),
    )


def _weightier(field: EnhancedStatus | None, told: EnhancedStatus | None) -> EnhancedStatus | None:
    """Return the remote server's own code unless it says nothing."""
    if told is None or (told.subject, told.detail) == (0, 0):
        return field or told
    return told


def _is_transient(
    field: EnhancedStatus | None, told: EnhancedStatus | None, code: int | None
) -> bool | None:
    """Tell whether the failure was temporary; None when nothing says.

    A server that reports 5.x because its time ran out quotes the 4xx it got.
    """
    if code is not None:
        return code < 500
    status = _weightier(field, told)
    return None if status is None else status.severity is Severity.TRANSIENT


def _decide(facts: _Facts) -> Rule:
    """Return the first rule that matches; the last one always does."""
    return next(rule for rule in RULES if _matches(rule, facts))


def _matches(rule: Rule, facts: _Facts) -> bool:
    if rule.is_transient is not None and rule.is_transient is not facts.is_transient:
        return False
    if rule.statuses and not _names(facts.status) & rule.statuses:
        return False
    if rule.codes and facts.code not in rule.codes:
        return False
    if rule.text is not None and not rule.text.search(facts.text):
        return False
    if rule.unless is not None and rule.unless.search(facts.text):
        return False
    return rule.id not in _ABOUT_A_HOST or _is_about_recipient(facts)


def _sender_sign(rule: Rule, facts: _Facts) -> str:
    """Return the id of the first sign that a block is about the sender; "" without one."""
    if rule.class_ is not BounceClass.BLOCK:
        return ""
    return next((sign.id for sign in SENDER_SIGNS if _shows(sign, rule, facts)), "")


def _shows(sign: SenderSign, rule: Rule, facts: _Facts) -> bool:
    return (
        rule.id in sign.rules
        or bool(sign.statuses & _names(facts.status))
        or bool(sign.text and sign.text.search(facts.text))
    )


def _names(status: EnhancedStatus | None) -> set[str]:
    return {str(status), f"{status.class_}.{status.subject}"} if status else set()


def _is_about_recipient(facts: _Facts) -> bool:
    """Tell whether the host that is not known is the recipient's domain, not a relay's name."""
    found = _LOOKED_UP.search(facts.text)
    if found is None or not facts.domain:
        return True
    name = found[1].strip(".")
    return name == facts.domain or facts.domain.endswith(f".{name}") or name in facts.domain


def _quoted(facts: _Facts, rule: Rule) -> str:
    """Return the words that decided, or what the status means."""
    if rule.text is not None and (found := rule.text.search(facts.text)):
        start, end = max(0, found.start() - 30), min(len(facts.text), found.end() + 30)
        return f'It says "{facts.text[start:end].strip()}".'
    if facts.status is not None:
        return f"{facts.status}: {meaning(facts.status)}."
    return f"SMTP code {facts.code}." if facts.code else ""
