"""One-off bodies (transactional HTML): blanked when their time is over, deleted after their messages.

A blank body keeps its row, because messages point at it, and gets a random hash of 16 bytes: no new
message finds it, and no mail is written from it (`IS_WHOLE_SQL`).
"""

from collections.abc import Sequence

from psycopg.rows import TupleRow

from app.db.expiry import Expiry
from app.db.session import Session

# Embedded where a mail is written: alias v is a row of template_versions.
IS_WHOLE_SQL = "(v.template_id IS NOT NULL OR octet_length(v.content_hash) > 16)"
BLANK_SQL = """subject = 'erased', html = '', body_text = 'erased', variables = '{}',
  content_hash = uuid_send(gen_random_uuid())"""
_LINKS = "DELETE FROM tracking_links WHERE template_version_id = ANY(%s)"


def forget_links(session: Session, blank: Sequence[TupleRow]) -> None:
    """Delete where the links of blank bodies led."""
    session.execute(_LINKS, ([row[0] for row in blank],))


# Kept: what a younger message, a waiting mail (emails_due) or a chunk under way is written from. A
# message that is being stored now holds the row, and the row is passed over. Index
# template_versions_whole: blank bodies are many and stay for weeks.
WORDS = Expiry(
    table="template_versions",
    key="id",
    where="""t.template_id IS NULL AND t.id < %(before)s AND octet_length(t.content_hash) > 16
  AND NOT EXISTS (SELECT FROM messages m
                  WHERE m.template_version_id = t.id AND m.created_at >= %(until)s)
  AND NOT EXISTS (SELECT FROM campaign_step_variants v WHERE v.template_version_id = t.id)
  AND NOT EXISTS (SELECT FROM emails e
                  WHERE e.account_id = ANY(ARRAY(SELECT id FROM email_accounts WHERE app_id = %(app)s))
                    AND e.due_at IS NOT NULL AND e.template_version_id = t.id)
  AND NOT EXISTS (SELECT FROM released_chunks c
                  WHERE c.app_id = %(app)s AND c.payload ->> 'template_version_id' = t.id::text)""",
    delete=f"UPDATE template_versions SET {BLANK_SQL} WHERE id = ANY(%(keys)s) RETURNING id",  # noqa: S608 - constants
    then=forget_links,
)
# The foreign keys of messages and variants have the last word: a body in use cannot go.
BODIES = Expiry(
    table="template_versions",
    key="id",
    where="""t.template_id IS NULL AND t.id < %(before)s
  AND NOT EXISTS (SELECT FROM messages m WHERE m.template_version_id = t.id)
  AND NOT EXISTS (SELECT FROM campaign_step_variants v WHERE v.template_version_id = t.id)
  AND NOT EXISTS (SELECT FROM emails e WHERE e.app_id = t.app_id AND e.id < %(before)s
                  AND e.template_version_id = t.id)""",
    delete="DELETE FROM template_versions WHERE id = ANY(%(keys)s) RETURNING id",
)
