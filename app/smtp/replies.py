"""Framing of SMTP replies (RFC 5321, 4.2): bytes of a socket in, complete replies out.

A reply is `(code, text)`, the lines of its text joined by newlines. Code 0 stands for bytes that
are no SMTP reply: it comes in order, behind the good replies before it, because a 250 to a final
dot counts even when garbage follows.
"""

Reply = tuple[int, bytes]

GARBLED = 0
_LONGEST_LINE = 8_192
_LONGEST_REPLY = 65_536
_MOST_KNOWN = 32
_CODES = {b"%d" % code: code for code in range(200, 600)}
_PRINTABLE = bytes(b if b >= 0x20 and b != 0x7F else 0x3F for b in range(256))


class ReplyBuffer:
    """Collects what a server sends; bounded, whatever the server does."""

    __slots__ = ("_head", "_known", "_lines", "_size")

    def __init__(self) -> None:
        self._head = b""
        self._lines: list[bytes] = []
        self._size = 0
        # Three of four replies are the same few lines again: they are taken apart once.
        self._known: dict[bytes, Reply] = {}

    def feed(self, data: bytes) -> list[Reply]:
        """Add bytes and return the replies that are complete now, in order."""
        lines = (self._head + data).split(b"\n")
        self._head = lines.pop()
        replies: list[Reply] = []
        for line in lines:
            known = self._known.get(line)
            if known is not None and not self._lines:
                replies.append(known)
                continue
            code = _CODES.get(line[:3], GARBLED)
            mark = line[3:4]
            if not code or mark not in b" -\r":
                return self._garbled(replies, line)
            text = line[4:].rstrip(b"\r").translate(_PRINTABLE)
            if mark == b"-" or self._lines:
                if not self._collect(text):
                    return self._garbled(replies, line)
                if mark == b"-":
                    continue
                text = b"\n".join(self._lines)
                self.clear_lines()
            elif len(self._known) < _MOST_KNOWN:
                self._known[line] = (code, text)
            replies.append((code, text))
        if len(self._head) > _LONGEST_LINE:
            return self._garbled(replies, self._head)
        return replies

    def is_empty(self) -> bool:
        """Return whether nothing is left over from what was fed."""
        return not self._head and not self._lines

    def clear_lines(self) -> None:
        """Forget the lines of the reply that is complete."""
        self._lines = []
        self._size = 0

    def _collect(self, text: bytes) -> bool:
        self._size += len(text)
        self._lines.append(text)
        return self._size <= _LONGEST_REPLY

    def _garbled(self, replies: list[Reply], line: bytes) -> list[Reply]:
        self._head = b""
        self.clear_lines()
        said = line[:80].rstrip(b"\r").translate(_PRINTABLE)
        replies.append((GARBLED, b"not an SMTP reply: " + said))
        return replies
