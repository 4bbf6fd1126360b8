"""Rows of dead letters that a person, or retention, has decided; open ones stay."""

from app.db.expiry import Expiry

LETTERS = Expiry(
    table="dead_letters",
    key="id",
    where="t.failed_at < %(until)s AND t.status <> 'open' AND t.published_at IS NOT NULL",
    delete="DELETE FROM dead_letters WHERE id = ANY(%(keys)s) RETURNING id",
)
