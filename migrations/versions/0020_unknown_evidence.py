"""An index of the attempts that ended unknown: what finds unknown mails without reading all mails.

`emails` may have none on its status, which claims and outcomes change; events never change.
"""

from alembic import op

revision = "0020"
down_revision = "0021"
branch_labels = None
depends_on = None

UP = """
UPDATE email_events v SET data = v.data || '{"verdict": "unknown"}'
FROM emails e
WHERE e.id = v.email_id AND e.status = 'unknown' AND v.type = 'attempt'
  AND v.data ->> 'verdict' IS NULL;
CREATE INDEX email_events_unknown ON email_events (app_id, email_id)
    WHERE type = 'attempt' AND data ->> 'verdict' = 'unknown';
"""

DOWN = "DROP INDEX email_events_unknown"


def upgrade() -> None:
    """Mark what is unknown now, and index it."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the index; the marks harm nobody."""
    op.execute(DOWN)
