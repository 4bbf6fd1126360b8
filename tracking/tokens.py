"""Signed tokens of the public routes: which mail, and where a click leads. Pure.

itsdangerous with SHA-256 and HMAC derivation, one salt per purpose, signatures cut to 128 bits. The
newest key signs, every key verifies for ever. A mail token is the e-mail's UUID as one AES-256 block
and a tag of its app; a link token is the destination, its number and the same tag. Nothing internal
is readable, and the two of a click must agree. Derived keys are kept: a mail costs one signature.
"""

import base64
import binascii
import hashlib
import hmac
import struct
import threading
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import itsdangerous
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from app.errors import ConfigurationInvalid

MAX_URL = 2_048
_LONGEST_TOKEN = 4_096
_SIGNATURE_BYTES = 16
_TAG_BYTES = 5
_MAIL_BYTES = 16 + _TAG_BYTES
_LINK_HEAD = struct.Struct(f">BH{_TAG_BYTES}s")
_AS_IS, _DEFLATED = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MailToken:
    """Which e-mail a request is about."""

    email_id: UUID
    app_tag: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkToken:
    """Where a click leads, and which link of the mail it is."""

    url: str
    link_no: int
    app_tag: bytes


def agree(mail: MailToken, link: LinkToken) -> bool:
    """Tell whether both tokens of a click come from one app."""
    return hmac.compare_digest(mail.app_tag, link.app_tag)


class TokenKeys:
    """All keys of one installation, oldest first; thread-safe, made once per process.

    Read functions return None for anything they did not sign and never say why.
    """

    def __init__(self, keys: Sequence[bytes]) -> None:
        if not keys or not all(keys):
            raise ConfigurationInvalid(
                "There is no key for tracking tokens.",
                fix="Run `mailqueue init`, or set MAILQUEUE_TRACKING_KEYS.",
                field="tracking_keys",
            )
        self._mails = _Purpose(keys, b"mailqueue.mail")
        self._unsubscribes = _Purpose(keys, b"mailqueue.unsubscribe")
        self._links = _Purpose(keys, b"mailqueue.link")
        self._blocks = [_Block(key) for key in keys]
        # The oldest key tags, so tokens signed before and after a rotation agree.
        self._tag_key = hmac.digest(keys[0], b"mailqueue.app", "sha256")
        self._tags: dict[UUID, bytes] = {}

    @classmethod
    def from_setting(cls, value: str) -> "TokenKeys":
        """Return the keys of MAILQUEUE_TRACKING_KEYS: comma-separated, oldest first."""
        return cls([key.strip().encode() for key in value.split(",") if key.strip()])

    def mail_token(self, email_id: UUID, app_id: UUID) -> str:
        """Return the token of one e-mail for pixel and click links: 51 characters."""
        return self._mails.sign(self._blocks[-1].seal(email_id.bytes) + self._tag(app_id))

    def unsubscribe_token(self, email_id: UUID, app_id: UUID) -> str:
        """Return the token of one e-mail that may unsubscribe; a click link cannot be made into it."""
        return self._unsubscribes.sign(self._blocks[-1].seal(email_id.bytes) + self._tag(app_id))

    def link_token(self, url: str, link_no: int, app_id: UUID) -> str:
        """Return the token of a destination of at most 2,048 characters; `link_no` below 65,536."""
        raw = url.encode()
        packer = zlib.compressobj(9, wbits=-15)
        packed = packer.compress(raw) + packer.flush()
        kind, body = (_DEFLATED, packed) if len(packed) < len(raw) else (_AS_IS, raw)
        return self._links.sign(_LINK_HEAD.pack(kind, link_no, self._tag(app_id)) + body)

    def read_mail(self, token: str) -> MailToken | None:
        """Return what a mail token says, or None."""
        return self._read(self._mails, token)

    def read_unsubscribe(self, token: str) -> MailToken | None:
        """Return what an unsubscribe token says, or None."""
        return self._read(self._unsubscribes, token)

    def read_link(self, token: str) -> LinkToken | None:
        """Return what a link token says, or None."""
        signed = self._links.read(token)
        if signed is None or len(signed[1]) < _LINK_HEAD.size:
            return None
        kind, link_no, tag = _LINK_HEAD.unpack_from(signed[1])
        url = _url(kind, signed[1][_LINK_HEAD.size :])
        return None if url is None else LinkToken(url=url, link_no=link_no, app_tag=tag)

    def _read(self, purpose: "_Purpose", token: str) -> MailToken | None:
        signed = purpose.read(token)
        if signed is None or len(signed[1]) != _MAIL_BYTES:
            return None
        key_no, raw = signed
        email_id = UUID(bytes=self._blocks[key_no].open(raw[:16]))
        return MailToken(email_id=email_id, app_tag=raw[16:])

    def _tag(self, app_id: UUID) -> bytes:
        tag = self._tags.get(app_id)
        if tag is None:
            tag = hmac.digest(self._tag_key, app_id.bytes, "sha256")[:_TAG_BYTES]
            self._tags[app_id] = tag
        return tag


def _url(kind: int, body: bytes) -> str | None:
    """Return the destination inside a link token; never unpacks more than a URL may hold."""
    try:
        if kind == _DEFLATED:
            body = zlib.decompressobj(wbits=-15).decompress(body, MAX_URL * 4)
        return body.decode()
    except (zlib.error, UnicodeDecodeError):
        return None


class _Short(itsdangerous.signer.HMACAlgorithm):
    """HMAC cut to 128 bits: shorter links, still far beyond guessing."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        return super().get_signature(key, value)[:_SIGNATURE_BYTES]


def signer(keys: Sequence[bytes], salt: bytes) -> itsdangerous.Signer:
    """Return the itsdangerous signer whose tokens these are: the reference for `_Purpose`."""
    return itsdangerous.Signer(
        list(keys),
        salt=salt,
        key_derivation="hmac",
        digest_method=hashlib.sha256,
        algorithm=_Short(hashlib.sha256),
    )


class _Purpose:
    """One salt. The same tokens as `signer`, from keyed HMAC states that are copied, not rebuilt."""

    def __init__(self, keys: Sequence[bytes], salt: bytes) -> None:
        derive = signer(keys, salt).derive_key
        self._states = [hmac.new(derive(key), digestmod="sha256") for key in keys]

    def sign(self, payload: bytes) -> str:
        body = base64.urlsafe_b64encode(payload).rstrip(b"=")
        return (body + b"." + _signature(self._states[-1], body)).decode("ascii")

    def read(self, token: str) -> tuple[int, bytes] | None:
        """Return the number of the key and the payload, or None.

        Signatures are compared as text, so no second spelling of one passes.
        """
        if len(token) > _LONGEST_TOKEN or not token.isascii():
            return None
        body, _, given = token.encode("ascii").rpartition(b".")
        for number in range(len(self._states) - 1, -1, -1):
            if hmac.compare_digest(_signature(self._states[number], body), given):
                return number, _decoded(body)
        return None


def _signature(state: hmac.HMAC, body: bytes) -> bytes:
    mac = state.copy()
    mac.update(body)
    return base64.urlsafe_b64encode(mac.digest()[:_SIGNATURE_BYTES]).rstrip(b"=")


def _decoded(body: bytes) -> bytes:
    try:
        return base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    except binascii.Error:
        return b""


class _Block(threading.local):
    """AES-256 over exactly one block: a permutation of UUIDs only the key's owner can read.

    ECB of a single block that is always signed beside it; a cipher context is not shared by threads.
    """

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(AES(hmac.digest(key, b"mailqueue.block", "sha256")), ECB())  # noqa: S305 - one block, see above
        self._sealer: CipherContext = cipher.encryptor()
        self._opener: CipherContext = cipher.decryptor()

    def seal(self, block: bytes) -> bytes:
        return self._sealer.update(block)

    def open(self, block: bytes) -> bytes:
        return self._opener.update(block)
