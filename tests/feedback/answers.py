"""Mails that come back, as servers and people write them, for the tests of what they do."""

from email.message import EmailMessage


def report(to: str, status: str = "5.1.1", action: str = "failed", said: str = "") -> bytes:
    """A delivery status notification about one recipient (RFC 3464)."""
    diagnostic = said or f"550 {status} no such user"
    return (
        "From: MAILER-DAEMON@mx.example\r\n"
        "To: sender@example.org\r\n"
        "Subject: Delivery Status Notification\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nThis is the mail system at mx.example.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        "Reporting-MTA: dns; mx.example\r\n\r\n"
        f"Final-Recipient: rfc822; {to}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {diagnostic}\r\n\r\n--b--\r\n"
    ).encode()


def returned(to: str, message_id: str, status: str = "5.1.1") -> bytes:
    """A delivery status notification that returns the headers of the mail it is about."""
    headers = (
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        f"From: sender@example.org\r\nTo: {to}\r\nMessage-ID: {message_id}\r\n"
        "Subject: hello\r\n\r\n--b--\r\n"
    )
    return report(to, status).replace(b"--b--\r\n", headers.encode())


def complaint(to: str, *fields: str) -> bytes:
    """A feedback report of type abuse (RFC 5965); `fields` stand in the header it returns."""
    original = "".join(f"{field}\r\n" for field in fields)
    return (
        "From: fbl@provider.example\r\nTo: sender@example.org\r\nSubject: FW: hello\r\n"
        "MIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nThis is an abuse report.\r\n"
        "--b\r\nContent-Type: message/feedback-report\r\n\r\n"
        "Feedback-Type: abuse\r\nUser-Agent: Loop/1.0\r\nVersion: 1\r\n"
        f"Original-Rcpt-To: {to}\r\n\r\n"
        "--b\r\nContent-Type: message/rfc822\r\n\r\n"
        f"{original}From: sender@example.org\r\nTo: {to}\r\nSubject: hello\r\n\r\nHello\r\n--b--\r\n"
    ).encode()


def written(subject: str, text: str, **headers: str) -> bytes:
    """A mail that a person, or a machine that says so in `headers`, wrote."""
    mail = EmailMessage()
    mail["From"] = "Ana <ana@example.com>"
    mail["To"] = "sender@example.org"
    mail["Subject"] = subject
    mail["Message-ID"] = "<answer-1@example.com>"
    for name, value in headers.items():
        del mail[name.replace("_", "-")]
        mail[name.replace("_", "-")] = value
    mail.set_content(text)
    return mail.as_bytes().replace(b"\n", b"\r\n")
