"""Submissions: idempotency keys without an app, answers as bytes, and indexes for look-ups.

The new indexes of `emails` mention no column that changes after the insert (app/tables/emails).
Stored answers are dropped: within two days nobody asks for them.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UP = """
DELETE FROM idempotency_keys;
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey;
ALTER TABLE idempotency_keys ALTER COLUMN app_id DROP NOT NULL;
ALTER TABLE idempotency_keys ALTER COLUMN key SET NOT NULL;
ALTER TABLE idempotency_keys
    ADD CONSTRAINT idempotency_keys_key UNIQUE NULLS NOT DISTINCT (app_id, key);
ALTER TABLE idempotency_keys DROP COLUMN response_body;
ALTER TABLE idempotency_keys ADD COLUMN response_body bytea;

CREATE INDEX batches_open ON batches (id) WHERE status IN ('accepted', 'expanding');
CREATE INDEX emails_app ON emails (app_id, id);
CREATE INDEX emails_recipient ON emails (app_id, to_hash, id) WHERE message_id IS NOT NULL;
"""

DOWN = """
DROP INDEX emails_recipient;
DROP INDEX emails_app;
DROP INDEX batches_open;
DELETE FROM idempotency_keys;
ALTER TABLE idempotency_keys DROP COLUMN response_body;
ALTER TABLE idempotency_keys ADD COLUMN response_body jsonb;
ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_key;
ALTER TABLE idempotency_keys ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (app_id, key);
"""


def upgrade() -> None:
    """Loosen the keys; add the indexes."""
    op.execute(UP)


def downgrade() -> None:
    """Go back; answers kept so far are forgotten."""
    op.execute(DOWN)
