"""What mail providers tell over HTTP: hooks with an address of their own, events each stored once."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE provider_hooks (
    id uuid NOT NULL,
    app_id uuid NOT NULL,
    provider text NOT NULL,
    description text DEFAULT '' NOT NULL,
    token text NOT NULL,
    secret_sealed text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT provider_hooks_pkey PRIMARY KEY (id),
    CONSTRAINT provider_hooks_token_key UNIQUE (token),
    CONSTRAINT provider_hooks_app_id_fkey FOREIGN KEY (app_id) REFERENCES apps (id) ON DELETE CASCADE,
    CONSTRAINT provider_hooks_provider_known
        CHECK (provider IN ('ses', 'postmark', 'sendgrid', 'mailgun'))
);
CREATE INDEX provider_hooks_app_id_id ON provider_hooks (app_id, id);
ALTER TABLE provider_hooks ENABLE ROW LEVEL SECURITY;
ALTER TABLE provider_hooks FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON provider_hooks TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON provider_hooks TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON provider_hooks TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON provider_hooks TO mailqueue_api;

ALTER TABLE inbound_messages
    ADD COLUMN provider text,
    ADD COLUMN event_key text,
    ADD CONSTRAINT inbound_messages_provider_known
        CHECK (provider IN ('ses', 'postmark', 'sendgrid', 'mailgun')),
    ADD CONSTRAINT inbound_messages_event_of_provider
        CHECK ((provider IS NULL) = (event_key IS NULL));
CREATE UNIQUE INDEX inbound_messages_event ON inbound_messages (app_id, provider, event_key)
    WHERE provider IS NOT NULL;
"""

DOWN = """
DROP INDEX inbound_messages_event;
ALTER TABLE inbound_messages DROP COLUMN event_key, DROP COLUMN provider;
DROP TABLE provider_hooks;
"""


def upgrade() -> None:
    """Add the hooks; let what came back be an event."""
    op.execute(UP)


def downgrade() -> None:
    """Drop them; what providers told looks like mail then."""
    op.execute(DOWN)
