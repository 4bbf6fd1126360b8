"""What each provider's event means: our classes, by its words or by the server's it quotes."""

import dataclasses
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.feedback import findings
from app.feedback.findings import Effect
from app.feedback.providers.event import Provider
from app.feedback.providers.reading import read, read_stored
from app.mail import verp
from app.mail.echo import echo_of
from app.mail.rules import BounceClass
from app.mail.verp import AddressUse
from tests.feedback import events

MAIL = uuid.UUID("01890a5d-ac96-774b-bcce-b302099a8057")
TO = "ana@example.com"
CODED = verp.coded_domain("in.example", "k" * 32)
UNKNOWN, SPAM = "smtp; 550 5.1.1 no such user", "smtp; 550 5.7.1 rejected as spam"


def mailgun(event: str, **fields: Any) -> dict[str, Any]:
    return {"event-data": events.mailgun(event, MAIL.hex, TO, **fields)}


def postmark(record: str, **fields: Any) -> dict[str, Any]:
    return events.postmark(record, MAIL.hex, TO, **fields)


def sendgrid(event: str, **fields: Any) -> dict[str, Any]:
    return events.sendgrid(event, MAIL.hex, TO, **fields)


def ses(kind: str, **detail: Any) -> dict[str, Any]:
    return events.ses(kind, MAIL.hex, **detail)


def bounce(types: str, said: str = "") -> dict[str, Any]:
    return events.ses_bounce(MAIL.hex, TO, types, said)


COMPLAINED = {"complainedRecipients": [{"emailAddress": TO}]}
CASES: list[tuple[Provider, dict[str, Any], str, str]] = [
    (Provider.SES, bounce("Permanent/General"), "hard", "ses.permanent.general"),
    (Provider.SES, bounce("Permanent/NoEmail", UNKNOWN), "hard", "text.user-unknown"),
    (Provider.SES, bounce("Permanent/General", SPAM), "block", "text.spam-or-policy"),
    (Provider.SES, bounce("Permanent/Newest"), "hard", "ses.permanent.newest"),
    (Provider.SES, bounce("Transient/MailboxFull"), "soft", "ses.transient.mailboxfull"),
    (Provider.SES, bounce("Transient/General", UNKNOWN), "soft", "ses.transient.general"),
    (Provider.SES, bounce("Transient/ContentRejected"), "block", "ses.transient.contentrejected"),
    (Provider.SES, bounce("Undetermined/Undetermined"), "soft", "ses.undetermined.undetermined"),
    (Provider.SES, ses("Complaint", **COMPLAINED), "complaint", "ses.complaint"),
    (
        Provider.SES,
        ses("Complaint", complaintFeedbackType="not-spam", **COMPLAINED),
        "none",
        "provider.not-read",
    ),
    (Provider.SES, ses("Delivery", recipients=[TO]), "delivered", "ses.delivery"),
    (
        Provider.SES,
        ses("DeliveryDelay", delayedRecipients=[{"emailAddress": TO}]),
        "delayed",
        "ses.delay",
    ),
    (Provider.SES, ses("Reject", reason="Bad content"), "block", "ses.reject"),
    (
        Provider.SES,
        ses("Subscription", newTopicPreferences={"unsubscribeAll": True}),
        "unsubscribe",
        "ses.subscription",
    ),
    (Provider.SES, ses("Open", userAgent="x"), "none", "provider.not-read"),
    (Provider.POSTMARK, postmark("Bounce", Type="HardBounce"), "hard", "postmark.hardbounce"),
    (
        Provider.POSTMARK,
        postmark("Bounce", Type="HardBounce", Details=SPAM),
        "block",
        "text.spam-or-policy",
    ),
    (
        Provider.POSTMARK,
        postmark("Bounce", Type="SoftBounce", Details="smtp;552 5.2.2 mailbox full"),
        "soft",
        "text.mailbox-full",
    ),
    (Provider.POSTMARK, postmark("Bounce", Type="Transient"), "delayed", "postmark.transient"),
    (Provider.POSTMARK, postmark("Bounce", Type="Newest"), "soft", "postmark.newest"),
    (Provider.POSTMARK, postmark("Bounce", Type="AutoResponder"), "none", "postmark.autoresponder"),
    (Provider.POSTMARK, postmark("SpamComplaint"), "complaint", "postmark.spamcomplaint"),
    (Provider.POSTMARK, postmark("Delivery", DeliveredAt="x"), "delivered", "postmark.delivery"),
    (
        Provider.POSTMARK,
        postmark(
            "SubscriptionChange",
            SuppressSending=True,
            SuppressionReason="ManualSuppression",
            Origin="Recipient",
        ),
        "unsubscribe",
        "postmark.subscription-change",
    ),
    (
        Provider.POSTMARK,
        postmark("SubscriptionChange", SuppressSending=True, SuppressionReason="HardBounce"),
        "none",
        "provider.not-read",
    ),
    (Provider.POSTMARK, postmark("Open", FirstOpen=True), "none", "provider.not-read"),
    (
        Provider.SENDGRID,
        sendgrid("bounce", type="bounce", reason="550 5.1.1 user unknown", status="5.1.1"),
        "hard",
        "text.user-unknown",
    ),
    (Provider.SENDGRID, sendgrid("bounce", type="bounce"), "hard", "sendgrid.bounce"),
    (
        Provider.SENDGRID,
        sendgrid("bounce", type="blocked", reason="550 5.1.1 user unknown"),
        "block",
        "sendgrid.blocked",
    ),
    (
        Provider.SENDGRID,
        sendgrid("bounce", type="bounce", reason="552 5.2.2 mailbox full", status="5.2.2"),
        "soft",
        "text.mailbox-full",
    ),
    (
        Provider.SENDGRID,
        sendgrid("dropped", reason="Bounced Address"),
        "hard",
        "sendgrid.dropped",
    ),
    (
        Provider.SENDGRID,
        sendgrid("dropped", reason="Spam Content"),
        "block",
        "sendgrid.dropped",
    ),
    (Provider.SENDGRID, sendgrid("deferred"), "delayed", "sendgrid.deferred"),
    (Provider.SENDGRID, sendgrid("delivered"), "delivered", "sendgrid.delivered"),
    (Provider.SENDGRID, sendgrid("spamreport"), "complaint", "sendgrid.spamreport"),
    (Provider.SENDGRID, sendgrid("group_unsubscribe"), "unsubscribe", "sendgrid.group_unsubscribe"),
    (Provider.SENDGRID, sendgrid("click", url="x"), "none", "provider.not-read"),
    (
        Provider.MAILGUN,
        mailgun(
            "failed",
            severity="permanent",
            reason="bounce",
            **{"delivery-status": {"code": 550, "message": "5.1.1 no such user"}},
        ),
        "hard",
        "text.user-unknown",
    ),
    (
        Provider.MAILGUN,
        mailgun("failed", severity="permanent", reason="suppress-bounce"),
        "hard",
        "mailgun.suppress-bounce",
    ),
    (Provider.MAILGUN, mailgun("failed", severity="permanent"), "soft", "mailgun.failed"),
    (Provider.MAILGUN, mailgun("failed", severity="temporary"), "delayed", "mailgun.temporary"),
    (Provider.MAILGUN, mailgun("delivered"), "delivered", "mailgun.delivered"),
    (Provider.MAILGUN, mailgun("complained"), "complaint", "mailgun.complained"),
    (Provider.MAILGUN, mailgun("unsubscribed"), "unsubscribe", "mailgun.unsubscribed"),
    (Provider.MAILGUN, mailgun("opened"), "none", "provider.not-read"),
]


@pytest.mark.parametrize(
    ("provider", "event", "class_", "rule"), CASES, ids=[f"{c[0]}-{c[3]}-{c[2]}" for c in CASES]
)
def test_an_event_has_a_class_and_the_rule_that_decided(
    provider: Provider, event: dict[str, Any], class_: str, rule: str
) -> None:
    found = read(provider, event)
    (verdict,) = found.verdicts
    assert (verdict.class_, verdict.rule) == (BounceClass(class_), rule)
    assert verdict.explanation
    assert found.email_ids(CODED) == [MAIL]
    assert verdict.address in {TO, ""}


def test_the_mail_is_named_by_an_echoed_id_a_message_id_or_a_return_path() -> None:
    assert CODED is not None
    path = CODED.address(AddressUse.BOUNCE, MAIL)
    forged = path.replace(".", ".a", 1)[: len(path)]
    event = events.ses("Delivery", "00" * 16)
    for mail, expected in (
        ({"tags": {"mailqueue": [MAIL.hex]}}, [MAIL]),
        ({"source": path}, [MAIL]),
        ({"source": forged}, []),
        ({"headers": [{"name": "message-id", "value": f"<{MAIL.hex}@x.example>"}]}, [MAIL]),
        ({}, []),
    ):
        assert read(Provider.SES, event | {"mail": mail}).email_ids(CODED) == expected
    assert read(Provider.SES, event | {"mail": {"source": path}}).email_ids(None) == []


def test_one_event_about_several_recipients_is_that_of_the_mails_own() -> None:
    event = bounce("Permanent/NoEmail")
    event["bounce"]["bouncedRecipients"].insert(0, {"emailAddress": "other@example.com"})
    verdicts = read(Provider.SES, event).verdicts

    assert [one.address for one in verdicts] == ["other@example.com", TO]
    assert findings.of_event(verdicts, TO.upper()).effect is Effect.HARD_BOUNCE
    assert findings.of_event(verdicts, "third@example.com").effect is Effect.NOTHING


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("smtp.postmarkapp.com", "X-PM-Metadata-mailqueue"),
        ("SMTP.sendgrid.net.", "X-SMTPAPI"),
        ("smtp.eu.mailgun.org", "X-Mailgun-Variables"),
        ("email-smtp.eu-west-1.amazonaws.com", "X-SES-MESSAGE-TAGS"),
        ("mx.example.com", ""),
        ("ec2-192-0-2-1.compute.amazonaws.com", ""),
        ("notsendgrid.net", ""),
    ],
)
def test_each_provider_is_asked_to_echo_the_id(host: str, name: str) -> None:
    assert echo_of(host).partition(":")[0] == name


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
_WORDS = st.sampled_from(
    [key for case in CASES for key in case[1]]
    + ["mail", "bounce", "bouncedRecipients", "event-data", "signature", "headers", "tags"]
)


@given(st.sampled_from(Provider), st.dictionaries(_WORDS, _JSON, max_size=6))
def test_any_json_is_read_as_some_event(provider: Provider, event: dict[str, Any]) -> None:
    found = read(provider, event)
    assert found.verdicts
    assert 0 < len(found.key) <= 300
    found.email_ids(CODED)


@given(st.data())
def test_an_event_with_anything_in_one_place_is_still_read(data: st.DataObject) -> None:
    provider, event, _, _ = data.draw(st.sampled_from(CASES))
    changed = dict(event)
    name = data.draw(st.sampled_from(sorted(changed)))
    inner = changed[name]
    if isinstance(inner, dict) and inner and data.draw(st.booleans()):
        changed[name] = inner | {data.draw(st.sampled_from(sorted(inner))): data.draw(_JSON)}
    else:
        changed[name] = data.draw(_JSON)
    found = read(provider, changed)
    said = [word for one in found.verdicts for word in dataclasses.astuple(one)]
    assert not [word for word in (*said, *found.names, found.key) if "\0" in word]


@given(st.sampled_from(Provider), st.binary())
def test_any_stored_bytes_are_read(provider: Provider, raw: bytes) -> None:
    assert read_stored(provider, raw).verdicts


def test_the_same_event_has_the_same_key_and_others_have_others() -> None:
    keys = [read(provider, event).key for provider, event, _, _ in CASES]
    again = [read(provider, dict(event)).key for provider, event, _, _ in CASES]
    assert keys == again
    posted = [postmark("Bounce", ID=n) for n in (1, 2)] + [postmark("Delivery", DeliveredAt="a")]
    assert len({read(Provider.POSTMARK, one).key for one in posted}) == 3
