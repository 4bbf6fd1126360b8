"""Provider hooks over HTTP: signatures verified, stored before 200, each event once, no other app's."""

import base64
import contextlib
import datetime as dt
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.clock import utc_now
from app.errors import DependencyUnavailable
from app.queueing.depth import DepthGauge
from app.tenancy.scopes import Scope
from app.wsgi import create_app
from tests import factories
from tests.api.conftest import Desk, Person
from tests.feedback.events import mailgun, postmark, sendgrid, ses_bounce

TO = "ana@example.com"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail-events"
SNS = "https://sns.eu-west-1.amazonaws.com"
CERTIFICATE = f"{SNS}/SimpleNotificationService-{'0a' * 16}.pem"
KEY = "mailgun signing key 1"
PASSWORD = "postmark password 1"
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key: rsa.RSAPrivateKey, days: int = 1) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = utc_now()
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=2))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


@dataclass(slots=True, kw_only=True)
class Amazon:
    """What stands at Amazon's URLs, and which of them were asked for."""

    pages: dict[str, bytes]
    asked: list[str]

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if url not in self.pages:
            raise DependencyUnavailable(f"Nothing stands at {url}.")
        return self.pages[url]


@pytest.fixture(scope="module")
def amazon() -> Amazon:
    return Amazon(pages={CERTIFICATE: certificate(RSA_KEY)}, asked=[])


@pytest.fixture(scope="module")
def web(desk: Desk, amazon: Amazon) -> FlaskClient:
    return create_app(desk.settings, amazon.fetch).test_client()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """An app with a hook and a mail that was sent."""

    me: Person
    web: FlaskClient
    path: str
    mail: str
    rows: Callable[[], list[tuple[Any, ...]]]

    def post(self, body: bytes, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"Content-Type": "application/json"}
        return self.web.post(self.path, data=body, headers=kind | named)


@pytest.fixture
def stand(desk: Desk, web: FlaskClient) -> Callable[[str, str], Stand]:
    def make(provider: str, secret: str) -> Stand:
        me = desk.person()
        made = me.post("/v1/provider-hooks", {"provider": provider, "secret": secret})
        mail: UUID = factories.make_email(desk.session, me.app_id, to_email=TO, status="sent")

        def rows() -> list[tuple[Any, ...]]:
            return desk.session.execute(
                "SELECT m.email_id, m.status, c.raw FROM inbound_messages m "
                "JOIN inbox_message_content c ON c.ref_id = m.id WHERE m.app_id = %s",
                (me.app_id,),
            ).fetchall()

        return Stand(me=me, web=web, path=made["path"], mail=mail.hex, rows=rows)

    return make


def test_a_hook_is_made_listed_and_deleted_and_its_secret_never_shown(desk: Desk) -> None:
    me = desk.person()
    made = me.post("/v1/provider-hooks", {"provider": "mailgun", "secret": KEY})
    (listed,) = me.get("/v1/provider-hooks")["data"]
    assert listed == made == me.get(f"/v1/provider-hooks/{made['id']}")
    kept = desk.session.execute(
        "SELECT row_to_json(h)::text FROM provider_hooks h WHERE app_id = %s", (me.app_id,)
    ).fetchone()
    assert KEY not in str(made) + str(kept) + str(me.get("/v1/audit-logs"))
    assert len(made["path"]) > 50

    me.delete(f"/v1/provider-hooks/{made['id']}")
    assert me.get("/v1/provider-hooks")["data"] == []
    actions = [each["action"] for each in me.get("/v1/audit-logs")["data"]]
    assert actions[:2] == ["provider_hook.deleted", "provider_hook.created"]


def test_hooks_need_a_right_of_their_own(desk: Desk) -> None:
    reader = desk.person(Scope.EMAIL_READ)
    assert reader.ask("GET", "/v1/provider-hooks").status_code == 403


@pytest.mark.parametrize(
    ("provider", "secret"),
    [
        ("ses", "https://sns.eu-west-1.amazonaws.com/topic"),
        ("ses", "arn:aws:sqs:eu-west-1:123456789012:mail"),
        ("sendgrid", "no key"),
        ("sendgrid", base64.b64encode(b"no key").decode()),
        ("postmark", "short"),
        ("mailgun", "short"),
        ("another", KEY),
    ],
)
def test_what_cannot_prove_a_provider_is_refused(desk: Desk, provider: str, secret: str) -> None:
    answer = desk.person().ask(
        "POST", "/v1/provider-hooks", json={"provider": provider, "secret": secret}
    )
    assert answer.status_code == 422
    assert secret not in answer.text


def test_an_unknown_address_is_answered_as_a_wrong_signature(
    desk: Desk, stand: Callable[[str, str], Stand]
) -> None:
    known = stand("mailgun", KEY)
    unknown = desk.client.post("/v1/provider-events/unknown", json={})
    assert unknown.status_code == 403
    assert known.post(b"{}").json == unknown.json


# Mailgun ------------------------------------------------------------------------------------------


def signed_by_mailgun(
    event: dict[str, Any], *, token: str = "t" * 50, key: str = KEY, age_s: int = 0
) -> bytes:
    stamp = str(int(utc_now().timestamp()) - age_s)
    signature = hmac.digest(key.encode(), f"{stamp}{token}".encode(), "sha256").hex()
    fields = {"timestamp": stamp, "token": token, "signature": signature}
    return json.dumps({"signature": fields, "event-data": event}).encode()


def test_mailguns_event_is_stored_with_its_job_once_however_often_it_comes(
    desk: Desk, stand: Callable[[str, str], Stand]
) -> None:
    here = stand("mailgun", KEY)
    body = signed_by_mailgun(mailgun("complained", here.mail, TO))
    answers = [here.post(body) for _ in range(3)]

    assert [one.json for one in answers] == [{"stored": 1}, {"stored": 0}, {"stored": 0}]
    ((email_id, status, raw),) = here.rows()
    assert (email_id.hex, status) == (here.mail, "received")
    with contextlib.closing(DepthGauge(desk.settings.rabbitmq_url)) as depths:
        assert depths.ready("inbound") == 1
    assert json.loads(raw) == json.loads(body)


def test_a_token_of_mailgun_is_good_for_one_event(stand: Callable[[str, str], Stand]) -> None:
    here = stand("mailgun", KEY)
    here.post(signed_by_mailgun(mailgun("opened", here.mail, TO)))
    forged = here.post(signed_by_mailgun(mailgun("complained", here.mail, TO)))

    assert forged.json == {"stored": 0}
    assert b"complained" not in here.rows()[0][2]


@pytest.mark.parametrize(
    "changed", [{"key": "another key 12345"}, {"age_s": 86_400}, {"age_s": -3_600}, {"token": ""}]
)
def test_what_mailgun_did_not_just_sign_is_refused(
    stand: Callable[[str, str], Stand], changed: dict[str, Any]
) -> None:
    here = stand("mailgun", KEY)
    answer = here.post(signed_by_mailgun(mailgun("complained", here.mail, TO), **changed))

    assert (answer.status_code, here.rows()) == (403, [])


# Postmark -----------------------------------------------------------------------------------------


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"mailqueue:{password}".encode()).decode()


def test_postmark_knows_the_password_or_the_header(stand: Callable[[str, str], Stand]) -> None:
    here = stand("postmark", PASSWORD)
    first = json.dumps(postmark("Bounce", here.mail, TO, Type="HardBounce", ID=1)).encode()
    second = json.dumps(postmark("Delivery", here.mail, TO, DeliveredAt="x")).encode()

    assert here.post(first, Authorization=basic(PASSWORD)).json == {"stored": 1}
    assert here.post(second, X_Mailqueue_Secret=PASSWORD).json == {"stored": 1}
    assert [one[0].hex for one in here.rows()] == [here.mail, here.mail]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": basic("another password")},
        {"Authorization": "Basic x"},
        {"Authorization": "Basic ä"},
        {"Authorization": f"Bearer {PASSWORD}"},
        {"X_Mailqueue_Secret": ""},
    ],
)
def test_who_does_not_know_postmarks_password_is_refused(
    stand: Callable[[str, str], Stand], headers: dict[str, str]
) -> None:
    here = stand("postmark", PASSWORD)
    body = json.dumps(postmark("SpamComplaint", here.mail, TO)).encode()

    assert (here.post(body, **headers).status_code, here.rows()) == (403, [])


# SendGrid -----------------------------------------------------------------------------------------


def verification_key(key: ec.EllipticCurvePrivateKey) -> str:
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(public).decode()


def signed_by_sendgrid(body: bytes, key: ec.EllipticCurvePrivateKey = EC_KEY) -> dict[str, str]:
    stamp = "1700000000"
    signature = key.sign(stamp.encode() + body, ec.ECDSA(SHA256()))
    return {
        "X_Twilio_Email_Event_Webhook_Signature": base64.b64encode(signature).decode(),
        "X_Twilio_Email_Event_Webhook_Timestamp": stamp,
    }


def test_sendgrids_batch_is_stored_event_by_event(stand: Callable[[str, str], Stand]) -> None:
    here = stand("sendgrid", verification_key(EC_KEY))
    kinds = ("processed", "delivered", "open", "spamreport")
    batch = [sendgrid(kind, here.mail, TO) for kind in kinds]
    batch += [sendgrid("delivered", "0" * 32, TO), batch[1]]
    body = json.dumps(batch).encode()

    assert here.post(body, **signed_by_sendgrid(body)).json == {"stored": 5}
    found = here.rows()
    assert sorted(json.loads(one[2])["event"] for one in found) == sorted([*kinds, "delivered"])
    assert sum(one[0] is None for one in found) == 1


def test_half_a_character_costs_no_other_event(stand: Callable[[str, str], Stand]) -> None:
    here = stand("sendgrid", verification_key(EC_KEY))
    batch = [
        sendgrid("deferred", here.mail, TO, reason="cut in two: \ud83d"),
        sendgrid("spamreport", here.mail, TO),
    ]
    body = json.dumps(batch).encode()

    assert here.post(body, **signed_by_sendgrid(body)).json == {"stored": 2}
    assert {json.loads(one[2]).get("reason") for one in here.rows()} == {"cut in two: ?", None}


def test_a_batch_changed_on_its_way_is_refused(stand: Callable[[str, str], Stand]) -> None:
    here = stand("sendgrid", verification_key(EC_KEY))
    body = json.dumps([sendgrid("spamreport", here.mail, TO)]).encode()
    right = signed_by_sendgrid(body)

    assert here.post(body + b" ", **right).status_code == 403
    later = right | {"X_Twilio_Email_Event_Webhook_Timestamp": "1700000001"}
    assert here.post(body, **later).status_code == 403
    assert here.post(body, **signed_by_sendgrid(body, OTHER_EC_KEY)).status_code == 403
    assert here.post(body).status_code == 403
    odd = right | {"X_Twilio_Email_Event_Webhook_Signature": "ä"}
    assert here.post(body, **odd).status_code == 403
    assert here.rows() == []


def test_a_signed_body_that_is_no_event_is_taken_and_nothing_stored(
    stand: Callable[[str, str], Stand],
) -> None:
    here = stand("sendgrid", verification_key(EC_KEY))
    deep = b'[{"event":"spamreport","deep":' + b"[" * 300 + b"]" * 300 + b"}]"
    nothing = (b"no json", b"\xff", b"[NaN]", b'["a", 1, null]')
    for body in (*nothing, deep, b"[" * 5_000, b"[" * 500_000):
        assert here.post(body, **signed_by_sendgrid(body)).json == {"stored": 0}


# Amazon -------------------------------------------------------------------------------------------


def signed_by_amazon(
    key: rsa.RSAPrivateKey = RSA_KEY, version: str = "2", **fields: Any
) -> dict[str, Any]:
    said = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Timestamp": "2026-11-20T10:00:06.000Z",
    } | fields
    signed = "".join(f"{name}\n{said[name]}\n" for name in sorted(said)).encode()
    signature = key.sign(signed, PKCS1v15(), SHA1() if version == "1" else SHA256())
    return said | {
        "SignatureVersion": version,
        "Signature": base64.b64encode(signature).decode(),
        "SigningCertURL": CERTIFICATE,
    }


def sns(here: Stand, notice: dict[str, Any]) -> TestResponse:
    return here.web.post(
        here.path, data=json.dumps(notice), headers={"Content-Type": "text/plain; charset=UTF-8"}
    )


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_amazon_signed_is_stored(stand: Callable[[str, str], Stand], version: str) -> None:
    here = stand("ses", TOPIC)
    event = json.dumps(ses_bounce(here.mail, TO))
    answer = sns(here, signed_by_amazon(version=version, Message=event, Subject="Amazon SES"))

    assert answer.json == {"stored": 1}
    ((email_id, _, raw),) = here.rows()
    assert email_id.hex == here.mail
    assert json.loads(raw) == json.loads(event)


def test_a_subscription_is_confirmed_at_amazon_only(
    stand: Callable[[str, str], Stand], amazon: Amazon
) -> None:
    here = stand("ses", TOPIC)
    good = f"{SNS}/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=abc"
    amazon.pages[good] = b"<ConfirmSubscriptionResponse/>"
    fields = {"Type": "SubscriptionConfirmation", "Token": "abc", "Message": "Confirm."}

    assert sns(here, signed_by_amazon(SubscribeURL=good, **fields)).json == {"stored": 0}
    assert good in amazon.asked
    for url in (
        good.replace("amazonaws.com", "amazonaws.com.evil.example"),
        good.replace("https:", "http:"),
        good.replace("https://", "https://evil.example@"),
        good.replace("eu-west-1.amazonaws.com", "eu-west-1.amazonaws.com:8443"),
        good.replace("ConfirmSubscription", "Publish"),
        good.replace("mail-events", "other"),
    ):
        assert sns(here, signed_by_amazon(SubscribeURL=url, **fields)).status_code == 403
        assert url not in amazon.asked


@pytest.mark.parametrize(
    "url",
    [
        CERTIFICATE.replace("amazonaws.com", "amazonaws.com.evil.example"),
        CERTIFICATE.replace("sns.eu-west-1", "s3.eu-west-1"),
        CERTIFICATE.replace("https", "http"),
        f"{SNS}/?x=/SimpleNotificationService-{'0a' * 16}.pem",
        CERTIFICATE + "?x=y",
        "https://127.0.0.1/SimpleNotificationService-00.pem",
        "https://[",
    ],
)
def test_a_certificate_is_fetched_from_amazon_only(
    stand: Callable[[str, str], Stand], amazon: Amazon, url: str
) -> None:
    here = stand("ses", TOPIC)
    notice = signed_by_amazon(Message=json.dumps(ses_bounce(here.mail, TO)))

    assert sns(here, notice | {"SigningCertURL": url}).status_code == 403
    assert url not in amazon.asked
    assert here.rows() == []


def test_what_amazon_did_not_sign_is_refused(
    stand: Callable[[str, str], Stand], amazon: Amazon
) -> None:
    here = stand("ses", TOPIC)
    event = json.dumps(ses_bounce(here.mail, TO))
    right = signed_by_amazon(Message=event)
    old = CERTIFICATE.replace("0a", "0b")
    amazon.pages[old] = certificate(RSA_KEY, days=-1)
    for wrong in (
        right | {"Message": event.replace("Permanent", "Transient")},
        right | {"SignatureVersion": "1"},
        right | {"SignatureVersion": "3"},
        right | {"Signature": "no base64"},
        right | {"Signature": "ä"},
        right | {"Subject": "added"},
        right | {"SigningCertURL": old},
        signed_by_amazon(OTHER_RSA_KEY, Message=event),
        signed_by_amazon(Message=event, TopicArn=TOPIC.replace("mail", "evil")),
        signed_by_amazon(Message=event, Type="Other"),
    ):
        assert sns(here, wrong).status_code == 403
    assert here.rows() == []


def test_amazon_away_is_told_to_come_again(stand: Callable[[str, str], Stand]) -> None:
    here = stand("ses", TOPIC)
    notice = signed_by_amazon(Message="{}")
    away = notice | {"SigningCertURL": CERTIFICATE.replace("0a", "0c")}

    assert sns(here, away).status_code == 503


# Tenants ------------------------------------------------------------------------------------------


def test_an_event_about_another_apps_mail_is_bound_to_none(
    stand: Callable[[str, str], Stand],
) -> None:
    mine, theirs = stand("mailgun", KEY), stand("mailgun", KEY)
    mine.post(signed_by_mailgun(mailgun("complained", theirs.mail, TO)))

    assert [one[0] for one in mine.rows()] == [None]
    assert theirs.rows() == []
