"""Amazon SNS: what a notification says, and whether Amazon signed it. Pure.

Anybody may open a topic at Amazon and have it signed, so the topic has to be the one that was
registered. The certificate is named by the message itself: only a host of SNS, only a path of its
certificates. https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

import base64
import datetime as dt
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm

from app.feedback.providers.event import loaded, refused, text

TOPIC = re.compile(
    r"arn:aws(?:-[a-z]+)*:sns:([a-z]{2}(?:-[a-z]+)+-\d{1,2}):\d{12}:[A-Za-z0-9_.-]{1,256}"
)
_HOST = re.compile(r"sns\.([a-z]{2}(?:-[a-z]+)+-\d{1,2})\.amazonaws\.com(?:\.cn)?")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_HASHES: dict[str, HashAlgorithm] = {
    "1": SHA1(),  # noqa: S303 - version 1 is what a topic signs with unless it was told otherwise
    "2": SHA256(),
}
NOTIFICATION, CONFIRMATION = "Notification", "SubscriptionConfirmation"
_SIGNED = {
    NOTIFICATION: ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    CONFIRMATION: (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED["UnsubscribeConfirmation"] = _SIGNED[CONFIRMATION]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A message of SNS whose signature is not verified yet; `certificate_url` may be fetched."""

    kind: str
    message: str
    subscribe_url: str
    certificate_url: str
    signed: bytes
    signature: bytes
    version: str


def read(body: bytes, topic: str) -> Notice:
    """Return a message of this topic; raises Forbidden for any other, and for a foreign host."""
    found = loaded(body)
    fields = found if isinstance(found, dict) else {}
    kind = text(fields, "Type")
    if kind not in _SIGNED or fields.get("TopicArn") != topic:
        raise refused()
    said = {name: fields[name] for name in _SIGNED[kind] if fields.get(name) is not None}
    if not all(isinstance(value, str) for value in said.values()):
        raise refused()
    return Notice(
        kind=kind,
        message=said.get("Message", ""),
        subscribe_url=said.get("SubscribeURL", ""),
        certificate_url=_certificate_url(text(fields, "SigningCertURL")),
        signed="".join(f"{name}\n{value}\n" for name, value in said.items()).encode(),
        signature=_unpacked(text(fields, "Signature")),
        version=text(fields, "SignatureVersion"),
    )


def verify(notice: Notice, pem: bytes, now: dt.datetime) -> None:
    """Raise Forbidden unless the owner of this certificate, valid now, signed the message."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise refused() from error
    key, algorithm = certificate.public_key(), _HASHES.get(notice.version)
    is_valid = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    if not isinstance(key, RSAPublicKey) or algorithm is None or not is_valid:
        raise refused()
    try:
        key.verify(notice.signature, notice.signed, PKCS1v15(), algorithm)
    except InvalidSignature as error:
        raise refused() from error


def confirmation_url(notice: Notice, topic: str) -> str:
    """Return the URL that confirms the subscription; raises Forbidden when it leads elsewhere."""
    parts = _at_amazon(notice.subscribe_url)
    asked = parse_qs(parts.query)
    if asked.get("Action") != ["ConfirmSubscription"] or asked.get("TopicArn") != [topic]:
        raise refused()
    return notice.subscribe_url


def _certificate_url(url: str) -> str:
    parts = _at_amazon(url)
    if parts.query or parts.fragment or _CERTIFICATE.fullmatch(parts.path) is None:
        raise refused()
    return url


def _at_amazon(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise refused() from error
    if parts.scheme != "https" or _HOST.fullmatch(parts.netloc) is None:
        raise refused()
    return parts


def _unpacked(signature: str) -> bytes:
    try:
        return base64.b64decode(signature, validate=True)
    except ValueError as error:
        raise refused() from error
