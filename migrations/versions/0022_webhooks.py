"""What is told to webhooks: noted with the fact, delivered in order, retried; when people are erased.

`webhook_events` is filled by the statements that move mails, only for apps with an endpoint, and
emptied by the fan-out. No foreign key: it would lock the app's row with every noted event.
"""

from alembic import op

revision = "0022"
down_revision = "0016"
branch_labels = None
depends_on = None

UP = """
CREATE TABLE webhook_events (
    id bigint GENERATED ALWAYS AS IDENTITY,
    app_id uuid NOT NULL,
    email_id uuid NOT NULL,
    event text NOT NULL,
    data jsonb DEFAULT '{}'::jsonb NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT webhook_events_pkey PRIMARY KEY (id)
);
ALTER TABLE webhook_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE webhook_events FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON webhook_events TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON webhook_events TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_events TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_events TO mailqueue_api;

ALTER TABLE webhook_endpoints
    ADD COLUMN description text DEFAULT '' NOT NULL,
    ADD COLUMN previous_secret_sealed text,
    ADD COLUMN previous_secret_until timestamp with time zone,
    ADD COLUMN pause_reason text,
    ADD COLUMN failures integer DEFAULT 0 NOT NULL,
    ADD COLUMN failing_since timestamp with time zone,
    ADD COLUMN resting_until timestamp with time zone,
    ADD COLUMN served_until timestamp with time zone;
CREATE INDEX webhook_endpoints_app_id_id ON webhook_endpoints (app_id, id);

ALTER TABLE webhook_deliveries
    ADD COLUMN event_id bigint,
    ADD COLUMN email_id uuid,
    ADD COLUMN lease_until timestamp with time zone,
    ADD COLUMN attempted_at timestamp with time zone,
    ADD COLUMN delivered_at timestamp with time zone,
    ADD COLUMN duration_ms integer,
    ADD COLUMN request_headers jsonb,
    ADD COLUMN response_body text,
    ADD CONSTRAINT webhook_deliveries_endpoint_id_event_id_key UNIQUE (endpoint_id, event_id),
    ADD CONSTRAINT webhook_deliveries_due_while_pending
        CHECK ((status = 'pending') = (due_at IS NOT NULL));
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at)
    WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_before ON webhook_deliveries (endpoint_id, email_id, event_id)
    WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_app_id_id ON webhook_deliveries (app_id, id);
CREATE INDEX webhook_deliveries_endpoint_id_id ON webhook_deliveries (endpoint_id, id);
CREATE INDEX webhook_deliveries_email_id ON webhook_deliveries (email_id);

ALTER TABLE gdpr_requests
    ADD COLUMN requested_by text DEFAULT '' NOT NULL;
CREATE INDEX gdpr_requests_app_id_id ON gdpr_requests (app_id, id);
"""

DOWN = """
DROP INDEX gdpr_requests_app_id_id;
ALTER TABLE gdpr_requests DROP COLUMN requested_by;

DROP INDEX webhook_deliveries_email_id;
DROP INDEX webhook_deliveries_endpoint_id_id;
DROP INDEX webhook_deliveries_app_id_id;
DROP INDEX webhook_deliveries_before;
DROP INDEX webhook_deliveries_due;
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
ALTER TABLE webhook_deliveries
    DROP CONSTRAINT webhook_deliveries_due_while_pending,
    DROP CONSTRAINT webhook_deliveries_endpoint_id_event_id_key,
    DROP COLUMN response_body, DROP COLUMN request_headers, DROP COLUMN duration_ms,
    DROP COLUMN delivered_at, DROP COLUMN attempted_at, DROP COLUMN lease_until,
    DROP COLUMN email_id, DROP COLUMN event_id;

DROP INDEX webhook_endpoints_app_id_id;
ALTER TABLE webhook_endpoints
    DROP COLUMN served_until, DROP COLUMN resting_until, DROP COLUMN failing_since,
    DROP COLUMN failures, DROP COLUMN pause_reason, DROP COLUMN previous_secret_until,
    DROP COLUMN previous_secret_sealed, DROP COLUMN description;
DROP TABLE webhook_events;
"""


def upgrade() -> None:
    """Add them."""
    op.execute(UP)


def downgrade() -> None:
    """Take them away."""
    op.execute(DOWN)
