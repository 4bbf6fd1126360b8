"""Events as mail providers tell them, for the tests of what they do; shaped as their documents say."""

from typing import Any


def ses(kind: str, email_id: str, **detail: Any) -> dict[str, Any]:
    """An event of Amazon SES about a mail; `detail` is the object named after the event."""
    name = kind[0].lower() + kind[1:]
    return {
        "notificationType": kind,
        "mail": {
            "timestamp": "2026-11-20T10:00:00.000Z",
            "messageId": "0100018f-ses",
            "source": "sender@example.org",
            "destination": ["ana@example.com"],
            "headersTruncated": False,
            "headers": [
                {"name": "From", "value": "sender@example.org"},
                {"name": "Message-ID", "value": f"<{email_id}@example.org>"},
            ],
            "commonHeaders": {"messageId": "0100018f-ses"},
        },
        name: {"timestamp": "2026-11-20T10:00:05.000Z", "feedbackId": f"fb-{kind}"} | detail,
    }


def ses_bounce(email_id: str, to: str, types: str = "Permanent/General", said: str = "") -> Any:
    """A bounce of SES."""
    first, _, second = types.partition("/")
    who = {"emailAddress": to} | ({"diagnosticCode": said, "action": "failed"} if said else {})
    return ses("Bounce", email_id, bounceType=first, bounceSubType=second, bouncedRecipients=[who])


def postmark(record: str, email_id: str, to: str, **fields: Any) -> dict[str, Any]:
    """An event of Postmark about a mail."""
    address = {"Email": to} if record in {"Bounce", "SpamComplaint"} else {"Recipient": to}
    return {
        "RecordType": record,
        "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
        "MessageStream": "outbound",
        "ServerID": 23,
        "Metadata": {"mailqueue": email_id},
        **address,
        **fields,
    }


def sendgrid(event: str, email_id: str, to: str, **fields: Any) -> dict[str, Any]:
    """An event of SendGrid about a mail."""
    return {
        "email": to,
        "timestamp": 1_700_000_000,
        "smtp-id": f"<{email_id}@example.org>",
        "event": event,
        "sg_event_id": f"sg-{event}-{email_id}",
        "sg_message_id": "14c5d75ce93.dfd.64b469.filter0001",
        **fields,
    }


def mailgun(event: str, email_id: str, to: str, **fields: Any) -> dict[str, Any]:
    """An event of Mailgun about a mail, without its signature."""
    return {
        "event": event,
        "id": "G9Bn5sl1TC6nu79C8C0bwg",
        "timestamp": 1_700_000_000.5,
        "recipient": to,
        "message": {"headers": {"to": to, "message-id": f"{email_id}@example.org"}},
        "envelope": {"sender": "sender@example.org", "targets": to, "transport": "smtp"},
        **fields,
    }
