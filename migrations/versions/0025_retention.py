"""Retention: months leave by detaching, archived before they are dropped; the books remember them.

`mailqueue_detach_partition` and the others run with the rights of the tables' owner, like
`mailqueue_create_partition`, so that a worker can take away a month that is over and nothing else.
PostgreSQL needs the parent alone for an instant: rather than let mail queue up behind a report, the
function gives up after 0.2 s and is called again later.
"""

from alembic import op

revision = "0025"
down_revision = "0027"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE retired_emails (
    app_id uuid NOT NULL,
    campaign_id uuid,
    batch_id uuid,
    kind text NOT NULL,
    partition text DEFAULT ''::text NOT NULL,
    n bigint NOT NULL,
    CONSTRAINT retired_emails_key
        UNIQUE NULLS NOT DISTINCT (app_id, campaign_id, batch_id, kind, partition),
    CONSTRAINT retired_emails_app_id_fkey FOREIGN KEY (app_id) REFERENCES apps (id) ON DELETE CASCADE
);
CREATE INDEX retired_emails_campaign_id ON retired_emails (campaign_id)
    WHERE campaign_id IS NOT NULL;
CREATE INDEX retired_emails_batch_id ON retired_emails (batch_id) WHERE batch_id IS NOT NULL;
ALTER TABLE retired_emails ENABLE ROW LEVEL SECURITY;
ALTER TABLE retired_emails FORCE ROW LEVEL SECURITY;
CREATE POLICY worker_sees_all ON retired_emails TO mailqueue_worker USING (true) WITH CHECK (true);
CREATE POLICY api_sees_its_app ON retired_emails TO mailqueue_api
    USING (app_id = mailqueue_current_app()) WITH CHECK (app_id = mailqueue_current_app());
GRANT SELECT, INSERT, UPDATE, DELETE ON retired_emails TO mailqueue_worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON retired_emails TO mailqueue_api;

CREATE TABLE archives (
    id uuid NOT NULL,
    series text NOT NULL,
    part integer NOT NULL,
    location text NOT NULL,
    rows bigint NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 bytea NOT NULL,
    last_key uuid[] NOT NULL,
    is_last boolean DEFAULT false NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT archives_pkey PRIMARY KEY (id),
    CONSTRAINT archives_series_part_key UNIQUE (series, part)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON archives TO mailqueue_worker;

CREATE INDEX messages_template_version_id ON messages (template_version_id);
CREATE INDEX batches_message_id ON batches (message_id);
"""

FUNCTIONS = """
CREATE FUNCTION mailqueue_partition_parent(child text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
RETURN substring(child FROM '^(emails|email_events|audit_logs)_[0-9]{4}_[0-9]{2}$');

CREATE FUNCTION mailqueue_detach_partition(child text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    parent text := public.mailqueue_partition_parent(child);
    month date := to_date(right(child, 7), 'YYYY_MM');
BEGIN
    IF parent IS NULL OR month + interval '1 month' > now() - interval '7 days' THEN
        RAISE EXCEPTION '% is no month that is over.', child;
    END IF;
    EXECUTE format('ALTER TABLE public.%I DETACH PARTITION public.%I', parent, child);
    -- Nobody reaches it through the parent's policies any more, and tenants have no right on it.
    EXECUTE format('ALTER TABLE public.%I NO FORCE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE public.%I DISABLE ROW LEVEL SECURITY', child);
    EXECUTE format('GRANT SELECT ON public.%I TO mailqueue_worker', child);
END
$$;

CREATE FUNCTION mailqueue_attach_partition(child text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET lock_timeout = '200ms'
AS $$
DECLARE
    parent text := public.mailqueue_partition_parent(child);
    month date := to_date(right(child, 7), 'YYYY_MM');
BEGIN
    IF parent IS NULL THEN
        RAISE EXCEPTION '% is no month.', child;
    END IF;
    EXECUTE format('REVOKE SELECT ON public.%I FROM mailqueue_worker', child);
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', child);
    EXECUTE format(
        'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, public.mailqueue_month_bound(month),
        public.mailqueue_month_bound((month + interval '1 month')::date));
END
$$;

CREATE FUNCTION mailqueue_drop_archived(child text) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
SET lock_timeout = '200ms'
AS $$
BEGIN
    IF public.mailqueue_partition_parent(child) IS NULL
       OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass(format('public.%I', child)))
    THEN
        RAISE EXCEPTION '% is no detached month.', child;
    END IF;
    IF NOT EXISTS (SELECT FROM public.archives WHERE series = child AND is_last) THEN
        RAISE EXCEPTION '% is not archived.', child;
    END IF;
    EXECUTE format('DROP TABLE public.%I', child);
END
$$;

REVOKE ALL ON FUNCTION mailqueue_detach_partition(text), mailqueue_attach_partition(text),
    mailqueue_drop_archived(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailqueue_detach_partition(text), mailqueue_attach_partition(text),
    mailqueue_drop_archived(text) TO mailqueue_worker;
"""

DOWN = """
DROP FUNCTION mailqueue_drop_archived(text);
DROP FUNCTION mailqueue_attach_partition(text);
DROP FUNCTION mailqueue_detach_partition(text);
DROP FUNCTION mailqueue_partition_parent(text);
DROP INDEX batches_message_id;
DROP INDEX messages_template_version_id;
DROP TABLE archives;
DROP TABLE retired_emails;
"""


def upgrade() -> None:
    """Create the tables, the indexes that deleting needs, and the functions."""
    op.execute(TABLES)
    op.execute(FUNCTIONS)


def downgrade() -> None:
    """Drop them; archived files stay where they are."""
    op.execute(DOWN)
