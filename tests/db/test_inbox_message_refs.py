"""The view of every message, out and in, in one shape."""

from app.db.session import Session
from app.ids import new_id
from tests import factories

REFS = """
SELECT id, app_id, lead_id, email_account_id, direction, status FROM inbox_message_refs
ORDER BY direction DESC"""


def test_a_mail_and_its_reply_refer_to_the_same_lead_and_account(session: Session):
    app = factories.make_app(session)
    account = factories.make_account(session, app.id)
    lead = factories.make_lead(session, app.id)
    email = factories.make_email(
        session, app.id, account_id=account.id, lead_id=lead, status="sent"
    )
    reply = {"id": new_id(), "app_id": app.id, "email_id": email, "kind": "reply"}
    factories.insert(session, "inbound_messages", reply | {"recipient": "r@example.org"})
    assert session.execute(REFS).fetchall() == [
        (email, app.id, lead, account.id, "outbound", "sent"),
        (reply["id"], app.id, lead, account.id, "inbound", "received"),
    ]
