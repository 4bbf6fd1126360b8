"""Monthly partitions of emails, email_events and audit_logs, and the function that makes them.

A partition is a range of UUIDv7: its bounds are the first id of a month and of the next one (48
bits of Unix milliseconds, then zeros). The function runs with the rights of the tables' owner, so
that the clock, which is only mailqueue_worker, can make next month's tables and nothing else.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# CREATE TABLE ... PARTITION OF would lock the parent against every mail in flight; a table that is
# attached later locks it only against other changes of its shape.
UP = """
CREATE FUNCTION mailqueue_month_bound(month date) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
RETURN (
    lpad(to_hex((extract(epoch FROM month) * 1000)::bigint), 12, '0') || repeat('0', 20)
)::uuid;

CREATE FUNCTION mailqueue_create_partition(parent text, month date) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    first_day date := date_trunc('month', month::timestamp)::date;
    next_month date := (date_trunc('month', month::timestamp) + interval '1 month')::date;
    child text := parent || to_char(first_day, '"_"YYYY"_"MM');
    options text := CASE parent
        -- Room for the two HOT versions that claim and outcome leave behind.
        WHEN 'emails' THEN
            'fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, '
            'autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02'
        WHEN 'email_events' THEN
            'autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05'
        WHEN 'audit_logs' THEN
            'autovacuum_vacuum_insert_scale_factor = 0.1'
    END;
BEGIN
    IF options IS NULL THEN
        RAISE EXCEPTION 'The table % has no monthly partitions.', parent;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('mailqueue_create_partition'));
    IF to_regclass(format('public.%I', child)) IS NOT NULL THEN
        RETURN NULL;
    END IF;
    EXECUTE format(
        'CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) '
        'WITH (%s)', child, parent, options);
    -- Rows are reached through the parent, whose policies decide: the child itself answers nobody.
    EXECUTE format('ALTER TABLE public.%I ENABLE ROW LEVEL SECURITY', child);
    EXECUTE format('ALTER TABLE public.%I FORCE ROW LEVEL SECURITY', child);
    EXECUTE format(
        'ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        parent, child, public.mailqueue_month_bound(first_day),
        public.mailqueue_month_bound(next_month));
    -- Row triggers follow the parent by themselves; a TRUNCATE trigger does not.
    IF parent = 'audit_logs' THEN
        EXECUTE format(
            'CREATE TRIGGER audit_logs_never_truncated BEFORE TRUNCATE ON public.%I '
            'EXECUTE FUNCTION public.mailqueue_refuse_audit_change()', child);
    END IF;
    RETURN child;
END
$$;

REVOKE ALL ON FUNCTION mailqueue_create_partition(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION mailqueue_create_partition(text, date) TO mailqueue_worker;

SELECT mailqueue_create_partition(parent, (now() AT TIME ZONE 'UTC' + n * interval '1 month')::date)
FROM unnest(ARRAY['emails', 'email_events', 'audit_logs']) AS parent, generate_series(-1, 3) AS n;
"""

# The partitions themselves go with their parents.
DOWN = """
DROP FUNCTION mailqueue_create_partition(text, date);
DROP FUNCTION mailqueue_month_bound(date);
"""


def upgrade() -> None:
    """Create the function and the partitions of last month to three months ahead."""
    op.execute(UP)


def downgrade() -> None:
    """Drop the function."""
    op.execute(DOWN)
