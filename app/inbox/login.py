"""The inbox's side of AUTH PLAIN and LOGIN (RFC 4954)."""

import base64
import binascii
import hmac

_ASK_USER = b"334 VXNlcm5hbWU6\r\n"
_ASK_PASSWORD = b"334 UGFzc3dvcmQ6\r\n"
_WELCOME = b"235 2.7.0 authenticated\r\n"
_WRONG = b"535 5.7.8 authentication credentials invalid\r\n"


class Login:
    """One connection's login; `is_done` from the start when nobody has to log in."""

    def __init__(self, expected: tuple[str, str] | None) -> None:
        self._expected = expected
        self.is_done = expected is None
        self._mechanism = b""
        self._user: bytes | None = None

    @property
    def is_waiting(self) -> bool:
        """Return whether the next line is part of a login, not a command."""
        return bool(self._mechanism)

    def start(self, rest: bytes) -> bytes:
        """Answer an AUTH command."""
        mechanism, _, initial = rest.partition(b" ")
        if mechanism.upper() not in (b"PLAIN", b"LOGIN"):
            return b"504 5.5.4 mechanism unknown\r\n"
        self._mechanism = mechanism.upper()
        self._user = None
        if initial:
            return self.hear(initial)
        return b"334 \r\n" if self._mechanism == b"PLAIN" else _ASK_USER

    def hear(self, line: bytes) -> bytes:
        """Answer a line of a login in progress."""
        try:
            said = base64.b64decode(line, validate=True)
        except binascii.Error:
            self._mechanism = b""
            return b"501 5.5.2 not base64\r\n"
        if self._mechanism == b"PLAIN":
            _, _, rest = said.partition(b"\0")
            user, _, password = rest.partition(b"\0")
            return self._decide(user, password)
        if self._user is None:
            self._user = said
            return _ASK_PASSWORD
        return self._decide(self._user, said)

    def _decide(self, user: bytes, password: bytes) -> bytes:
        self._mechanism = b""
        given = user + b"\0" + password
        wanted = "\0".join(self._expected or ("", "")).encode()
        self.is_done = self.is_done or hmac.compare_digest(given, wanted)
        return _WELCOME if self.is_done else _WRONG
