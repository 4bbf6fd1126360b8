"""The two roles of the system: workers see every app, the API only the one it names.

Roles belong to the whole server, so several databases may create them at the same moment: whoever
comes second waits for the first to commit, fails on the unique name and looks again. For the same
reason a downgrade leaves them: another database may need them.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

UP = """
DO $$
DECLARE
    role_name text;
    -- From PostgreSQL 16 on, who creates a role is a member of it that may not become it.
    can_become text := CASE
        WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER'
    END;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['mailqueue_api', 'mailqueue_worker'] LOOP
        LOOP
            BEGIN
                IF to_regrole(role_name) IS NULL THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
                END IF;
                IF NOT pg_has_role(current_user, role_name, can_become) THEN
                    EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
                END IF;
                EXIT;
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION '% is no member of the role % and may not create or grant it.',
                        current_user, role_name
                        USING ERRCODE = 'insufficient_privilege', HINT = format(
                            'As an administrator: %sGRANT %I TO %I;',
                            CASE WHEN to_regrole(role_name) IS NULL
                                THEN format('CREATE ROLE %I NOLOGIN; ', role_name) END,
                            role_name, current_user);
            END;
        END LOOP;
    END LOOP;
END
$$;

GRANT USAGE ON SCHEMA public TO mailqueue_api, mailqueue_worker;
"""

DOWN = """
REVOKE USAGE ON SCHEMA public FROM mailqueue_api, mailqueue_worker;
"""


def upgrade() -> None:
    """Create what is missing of the roles and make the login role a member."""
    op.execute(UP)


def downgrade() -> None:
    """Take the roles' rights in this database; the roles stay."""
    op.execute(DOWN)
