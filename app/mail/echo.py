"""What has a mail provider echo our id of a mail in each event about it, by the provider's host.

Message-IDs are not enough: Postmark tells none, SendGrid not with every event, and SES writes its
own. Each provider takes its header out of the mail before it goes on.
"""

import re

# `*` is where the id goes. Every event about the mail carries it (app/feedback/providers).
_ECHOES = (
    (re.compile(r".+\.postmarkapp\.com"), "X-PM-Metadata-mailqueue: *"),
    (re.compile(r".+\.sendgrid\.net"), 'X-SMTPAPI: {"unique_args":{"mailqueue":"*"}}'),
    (re.compile(r".+\.mailgun\.org"), 'X-Mailgun-Variables: {"mailqueue":"*"}'),
    (re.compile(r"email-smtp.*\.amazonaws\.com"), "X-SES-MESSAGE-TAGS: mailqueue=*"),
)


def echo_of(host: str) -> str:
    """Return the header line for mail through this host, `*` for the id; empty for other hosts."""
    name = host.lower().rstrip(".")
    return next((line for hosts, line in _ECHOES if hosts.fullmatch(name)), "")
