"""What has a mail provider echo our id of a mail in each event about it, by the provider's host.

Message-IDs are not enough: Postmark tells none, SendGrid not with every event, and SES writes its
own. Each provider takes its header out of the mail before it goes on.
"""

# `*` is where the id goes. Every event about the mail carries it (app/feedback/providers).
_ECHOES = {
    "postmarkapp.com": "X-PM-Metadata-mailqueue: *",
    "sendgrid.net": 'X-SMTPAPI: {"unique_args":{"mailqueue":"*"}}',
    "mailgun.org": 'X-Mailgun-Variables: {"mailqueue":"*"}',
    "amazonaws.com": "X-SES-MESSAGE-TAGS: mailqueue=*",
}


def echo_of(host: str) -> str:
    """Return the header line for mail through this host, `*` for the id; empty for other hosts."""
    name = host.lower().rstrip(".")
    found = (line for domain, line in _ECHOES.items() if name.endswith(f".{domain}"))
    return next(found, "")
