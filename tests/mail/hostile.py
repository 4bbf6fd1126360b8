"""Mails that try to cost time or memory: what a bounce server must take in its stride."""

from collections.abc import Iterator

HEAD = b"From: MAILER-DAEMON@x.example\nTo: b@y.example\nSubject: Undelivered mail\n"


def nested(depth: int) -> bytes:
    """Return multiparts in multiparts."""
    opened = [
        b'Content-Type: multipart/mixed; boundary="b%d"\n\n--b%d\n' % (n, n) for n in range(depth)
    ]
    return HEAD + b"".join(opened) + b"Content-Type: text/plain\n\nuser unknown <a@b.example>\n"


def enclosed(depth: int) -> bytes:
    """Return mails in mails."""
    return HEAD + b"Content-Type: message/rfc822\n\n" * depth + b"Subject: x\n\nx\n"


def many_parts(count: int) -> bytes:
    part = b"--b\nContent-Type: text/plain\n\nFinal-Recipient: rfc822; a%d@b.example\nStatus: 5.1.1\n\n"
    return HEAD + b'Content-Type: multipart/mixed; boundary="b"\n\n' + part * count


def many_groups(count: int) -> bytes:
    groups = b"".join(
        b"Final-Recipient: rfc822; a%d@b.example\nAction: failed\nStatus: 5.1.1\n\n" % n
        for n in range(count)
    )
    return HEAD + b"Content-Type: message/delivery-status\n\n" + groups


def repeated(piece: bytes, size: int, head: bytes = HEAD + b"\n") -> bytes:
    return head + piece * (size // len(piece))


def every(size: int) -> Iterator[tuple[str, bytes]]:
    """Yield each kind by name; `size` is about what the long ones take, in bytes."""
    html = HEAD + b"Content-Type: text/html\n\n"
    base64 = HEAD + b"Content-Transfer-Encoding: base64\nContent-Type: text/plain\n\n"
    printable = HEAD + b"Content-Transfer-Encoding: quoted-printable\n\n"
    multipart = HEAD + b'Content-Type: multipart/mixed; boundary="-"\n\n'
    yield "deep multiparts", nested(5_000)
    yield "mails in mails", enclosed(5_000)
    yield "ten thousand parts", many_parts(10_000)
    yield "ten thousand recipients", many_groups(10_000)
    yield "one line", repeated(b"x", size)
    yield "one line of addresses", repeated(b"<a@b.example> user unknown ", size)
    yield "one header line", repeated(b"y", size, b"Subject: ")
    yield "headers without end", repeated(b"X-A: b\n", size, b"")
    yield "folded header without end", repeated(b" c\n", size, b"X-A: b\n")
    yield "NULs", repeated(b"\0", size)
    yield "carriage returns", repeated(b"\r", size)
    yield "empty lines", repeated(b"\n", size)
    yield "open tags", repeated(b"<", size, html)
    yield "styles without end", repeated(b"<style>", size, html)
    yield "entities", repeated(b"&lt;&#x", size, html)
    yield "not base64", repeated(b"=?=?", size, base64)
    yield "escapes", repeated(b"=3D=", size, printable)
    yield "boundaries in a line", repeated(b"---", size, multipart)
    yield "boundaries on lines", repeated(b"---\n", size, multipart)
    yield "encoded words", repeated(b"=?utf-8?q?a?= ", size, b"Subject: ")
    yield "at signs", repeated(b"@", size)
    yield "labels of a domain", repeated(b"a.", size, HEAD + b"\n<a@")
    yield "words of a reason", repeated(b"user mailbox account is not ", size)
    yield "a bad charset", HEAD + b'Content-Type: text/plain; charset="\xff\0zlib"\n\nuser unknown'
    for name in (
        b"zlib",
        b"punycode",
        b"idna",
        b"rot13",
        b"unicode_escape",
        b"undefined",
        b"a" * 9000,
    ):
        yield (
            f"charset {name[:9]!r}",
            repeated(
                b"ab-", size // 50, HEAD + b"Content-Type: text/plain; charset=" + name + b"\n\n"
            ),
        )
