"""What came back, when its time is over. Mail that is not worked off yet stays."""

from app.db.expiry import Expiry

ANSWERS = Expiry(
    table="inbound_messages",
    key="id",
    where="t.id < %(before)s AND t.status <> 'received'",
    delete="DELETE FROM inbound_messages WHERE id = ANY(%(keys)s) RETURNING id",
)
SOFT_BOUNCES = Expiry(
    table="soft_bounces",
    key="email_id",
    where="t.at < %(until)s",
    delete="DELETE FROM soft_bounces WHERE email_id = ANY(%(keys)s) RETURNING email_id",
)
