"""A circuit breaker for each SMTP server; dead letters of single mails, published from their rows.

A breaker has a row only after its server failed. `dead_letters.published_at` is empty while
RabbitMQ has not confirmed the message: the sweeper publishes what is not there yet.
"""

from alembic import op

revision = "0013"
down_revision = "0014"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE smtp_breakers (
    smtp_config_id uuid NOT NULL,
    app_id uuid NOT NULL,
    phase text DEFAULT 'closed' NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    successes smallint DEFAULT 0 NOT NULL,
    probe_at timestamp with time zone,
    reason text,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT smtp_breakers_pkey PRIMARY KEY (smtp_config_id),
    CONSTRAINT smtp_breakers_smtp_config_id_fkey FOREIGN KEY (smtp_config_id)
        REFERENCES smtp_configs(id) ON DELETE CASCADE,
    CONSTRAINT smtp_breakers_app_id_fkey FOREIGN KEY (app_id)
        REFERENCES apps(id) ON DELETE CASCADE,
    CONSTRAINT smtp_breakers_phase_known CHECK (phase IN ('closed', 'open', 'half_open')),
    CONSTRAINT smtp_breakers_probe_while_not_closed
        CHECK ((phase = 'closed') = (probe_at IS NULL))
);
ALTER TABLE smtp_breakers ENABLE ROW LEVEL SECURITY;
ALTER TABLE smtp_breakers FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON smtp_breakers TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON smtp_breakers TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON smtp_breakers TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON smtp_breakers TO mailqueue_api;

ALTER TABLE dead_letters ADD COLUMN published_at timestamp with time zone;
UPDATE dead_letters SET published_at = failed_at;
CREATE INDEX dead_letters_unpublished ON dead_letters (id) WHERE published_at IS NULL;
"""

DOWN = """
DROP INDEX dead_letters_unpublished;
ALTER TABLE dead_letters DROP COLUMN published_at;
DROP TABLE smtp_breakers;
"""


def upgrade() -> None:
    """Create the breakers; let dead letters wait for their message."""
    op.execute(UP)


def downgrade() -> None:
    """Drop both."""
    op.execute(DOWN)
