"""The send epoch, mails planned a second time, and the ledger of a batch.

`send_epoch` holds one row, made by the first pass: a database that never sent has none. Workers
keep it; it belongs to no tenant, so the API gets no right on it.
"""

from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE send_epoch (
    id smallint DEFAULT 1 NOT NULL,
    lineage uuid NOT NULL,
    counter bigint DEFAULT 0 NOT NULL,
    home text NOT NULL,
    advanced_at timestamptz DEFAULT now() NOT NULL,
    quarantined_at timestamptz,
    reason text,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT send_epoch_pkey PRIMARY KEY (id),
    CONSTRAINT send_epoch_one_row CHECK (id = 1),
    CONSTRAINT send_epoch_quarantine_whole CHECK ((quarantined_at IS NULL) = (reason IS NULL))
);
GRANT SELECT, INSERT, UPDATE ON send_epoch TO mailqueue_worker;

ALTER TABLE enrolments ADD COLUMN repeated smallint DEFAULT 0 NOT NULL;
CREATE INDEX emails_batch ON emails (batch_id, id) WHERE batch_id IS NOT NULL;
"""

DOWN = """
DROP INDEX emails_batch;
ALTER TABLE enrolments DROP COLUMN repeated;
DROP TABLE send_epoch;
"""


def upgrade() -> None:
    """Create what the promise of sections 2 and 8 is checked with."""
    op.execute(UP)


def downgrade() -> None:
    """Drop it again."""
    op.execute(DOWN)
