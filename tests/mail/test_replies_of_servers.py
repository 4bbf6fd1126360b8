"""Replies as large providers and common servers write them, and the class each must get."""

import pytest

from app.mail.classify import Evidence, classify
from app.mail.status import status_in

REPLIES = {
    "hard": """
550 5.1.1 The email account that you tried to reach does not exist. Please try double-checking
550 5.2.1 The email account that you tried to reach is disabled. Learn more at https://support.google.com
550 5.2.1 The email account that you tried to reach is inactive
554 delivery error: dd This user doesn't have a yahoo.com account (a@yahoo.com) [-9]
554 delivery error: dd Sorry your message to a@yahoo.com cannot be delivered. This account has been disabled or discontinued [#102].
552 1 Requested mail action aborted, mailbox not found
550 5.5.0 Requested action not taken: mailbox unavailable. [x.prod.protection.outlook.com]
550 Requested action not taken: mailbox unavailable
550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup
550 5.1.1 RESOLVER.ADR.RecipNotFound; not found
550 <a@b.example>: Recipient address rejected: User unknown in virtual mailbox table
550 5.1.1 <a@b.example>: Recipient address rejected: User unknown in relay recipient table
550 sorry, no mailbox here by that name. (#5.1.1)
550 Unrouteable address
550 Invalid recipient
550 No Such User Here
550 No such recipient
550 5.1.1 a@b.example Address not known
550 user not found
550 Unknown user
550 5.1.6 recipient no longer on server: a@b.example
553 5.3.0 <a@b.example>... Addressee unknown, relay=[1.2.3.4]
550 5.1.1 <a@b.example>... User unknown
550 Mailbox not found
550 unknown or illegal alias: a@b.example
550 account does not exist
550-Callout verification failed: 550 550 No such person at this address
Host or domain name not found. Name service error for name=b.example type=AAAA: Host not found
550 5.1.2 <a@b.example>... Host unknown (Name server: b.example: host not found)
Domain b.example does not accept mail (nullMX)
556 5.1.10 Recipient address has null MX
550 5.4.4 Unable to route: domain does not exist
550 5.1.1 Mailbox does not exist
550 MAILBOX NOT FOUND
550 5.1.1 unknown user account
511 5.1.1 unknown address or alias
550 5.2.1 Mailbox disabled for this recipient
550 Account inactive
550 user disabled
5.1.1 X-Notes; User a (a@b.example) not listed in Domino Directory
550 a@b.example not in directory
X-Postfix; unknown user: "a"
550 5.1.1 <a@b.example> is not a valid mailbox
550 There is no such user
550 5.1.1 Recipient rejected. See http://x
550 5.1.1 Invalid User
550 cuda_nsu 550 5.1.1 No such user
""",
    "soft": """
452 4.2.2 The email account that you tried to reach is over quota.
552 5.2.2 The email account that you tried to reach is over quota and inactive.
554 delivery error: dd Sorry, your message to a@yahoo.com cannot be delivered. This mailbox is full / over quota
552 5.2.3 RESOLVER.RST.SendSizeLimit.OrgWide; message too large for this organization
554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException
554 5.4.14 Hop count exceeded - possible mail loop
421 4.7.0 [TSS04] Messages from 1.2.3.4 temporarily deferred due to unexpected volume or user complaints
450 4.2.0 <a@b.example>: Recipient address rejected: Greylisted
451 4.3.0 Temporary lookup failure
552 Message size exceeds fixed maximum message size
552 5.3.4 Message size exceeds fixed limit
550 Mailbox quota exceeded
552 5.2.2 Mailbox size limit exceeded
550 5.2.2 <a@b.example>... Mailbox Full
554 Transaction failed
554 5.3.0 Internal error
550 internal server error
connect to mx.b.example[1.2.3.4]:25: Connection timed out
mail for b.example loops back to myself
Host or domain name not found. Name service error for name=b.example type=MX: Host not found, try again
retry time not reached for any host after a long failure period
all hosts for 'b.example' have been failing for a long time (and retry time not reached)
retry timeout exceeded
554 5.4.7 [internal] exceeded max time without delivery
550 5.2.0 mail system problem
550 Unknown error
550
500 unrecognized command
451 Requested action aborted: local error in processing
422 mailbox full
550 Verification failed for recipient temporarily
""",
    "block": """
550-5.7.1 Our system has detected that this message is likely unsolicited mail. To reduce the amount of spam sent to Gmail, this message has been blocked.
550 5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM.
554 delivery error: dd Not authorized to send on behalf of x
550 SC-001 (COL004-MC1F1) Unfortunately, messages from 1.2.3.4 weren't sent. Please contact your Internet service provider since part of their network is on our block list.
550 5.7.606 Access denied, banned sending IP [1.2.3.4]
550 5.7.1 Service unavailable, Client host [1.2.3.4] blocked using Spamhaus.
550 5.7.511 Access denied, banned sender[1.2.3.4].
550 5.7.1 RESOLVER.RST.AuthRequired; authentication required
550 5.7.124 sender not in allowed-senders list for this group
554 5.7.1 <a@b.example>: Relay access denied
554 5.7.1 <a@b.example>: Recipient address rejected: Access denied
550 5.7.1 Unable to relay
550 relay not permitted
553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
550-Verification failed for <us@our.example> 550 Sender verify failed
550 5.1.8 <us@our.example>: Sender address rejected: Domain not found
553 5.1.8 Domain of sender address us@our.example does not exist
550 5.7.1 Message rejected due to content restrictions
554 5.7.1 This message has been blocked because it contains FortiGuard - AntiSpam blocking URL(s)
554 Message refused by policy
550 5.7.1 SPF check failed
554 rejected due to spam content
550 High probability of spam
550 Administrative prohibition
550 Blocked by barracuda
521 5.2.1 :  (CON:B1)  https://postmaster.aol.com/error-codes#554conb1
554 5.7.9 Message not accepted for policy reasons. See https://postmaster.yahooinc.com/error-codes
550 5.7.0 Local Policy Violation
550 5.1.0 Sender rejected
530 5.7.1 Authentication required
550 Your IP is listed on RBL
550 rejected because 1.2.3.4 is in a black list at zen.spamhaus.org
550 5.7.1 Rejected: 1.2.3.4 listed at bl.spamcop.net
554 5.7.1 You are not allowed to connect
550 Message contains a virus
550 5.7.1 TRANSPORT.RULES.RejectMessage; the message was rejected by organization policy
550 #5.7.1 Your access to submit messages to this e-mail system has been rejected.
550 5.7.1 Client does not have permissions to send as this sender
554 Blocked - see http://ipcheck.proofpoint.com/?ip=1.2.3.4
554 JunkMail rejected - x is in an RBL
""",
}
CASES = [(class_, line) for class_, lines in REPLIES.items() for line in lines.strip().split("\n")]


@pytest.mark.parametrize(("class_", "reply"), CASES)
def test_a_reply_has_its_class(class_, reply):
    evidence = Evidence(address="a@b.example", status=status_in(reply), diagnostic=f"smtp; {reply}")
    verdict = classify(evidence)

    assert verdict.class_ == class_, verdict.rule


SENDERS = (
    ("sender.listed", "550 5.7.606 Access denied, banned sending IP [1.2.3.4]"),
    ("sender.listed", "550 5.7.511 Access denied, banned sender[1.2.3.4]."),
    ("sender.listed", "550 5.7.1 Client host [1.2.3.4] blocked using Spamhaus."),
    ("sender.listed", "521 5.2.1 :  (CON:B1)  https://postmaster.aol.com/error-codes#554conb1"),
    ("sender.listed", "554 5.7.1 Poor reputation of your sending server"),
    ("sender.unproven", "550 5.7.26 This mail has been blocked: the sender is unauthenticated."),
    ("sender.unproven", "550 5.7.25 Client host rejected: cannot find your hostname"),
    ("sender.too-fast", "550 5.7.28 an unusual rate of mail comes from you"),
    ("sender.refused", "550 5.1.8 <us@our.example>: Sender address rejected: Domain not found"),
    ("", "554 rejected due to spam content"),
    ("", "550 5.7.1 Message rejected due to content restrictions"),
    ("", "550 5.7.1 Unable to relay"),
    ("", "550 Message contains a virus"),
    ("", "550 5.1.1 user unknown; see our block list policy"),
    ("", "452 4.2.2 mailbox full, rate limit"),
)


@pytest.mark.parametrize(("sign", "reply"), SENDERS)
def test_a_block_says_whether_it_is_about_the_sender(sign, reply):
    verdict = classify(Evidence(address="a@b.example", diagnostic=reply))

    assert verdict.sender_sign == sign, verdict.rule
