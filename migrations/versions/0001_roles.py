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
BEGIN
    FOREACH role_name IN ARRAY ARRAY['mailqueue_api', 'mailqueue_worker'] LOOP
        LOOP
            BEGIN
                IF to_regrole(role_name) IS NULL THEN
                    EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
                END IF;
                IF NOT EXISTS (
                    SELECT FROM pg_auth_members
                    WHERE roleid = to_regrole(role_name) AND member = quote_ident(current_user)::regrole
                ) THEN
                    EXECUTE format('GRANT %I TO CURRENT_USER', role_name);
                END IF;
                EXIT;
            EXCEPTION
                WHEN duplicate_object OR unique_violation THEN
                    NULL;
                WHEN insufficient_privilege THEN
                    RAISE EXCEPTION 'The role % is missing and % may not create or grant it.',
                        role_name, current_user
                        USING ERRCODE = 'insufficient_privilege', HINT = format(
                            'As an administrator: CREATE ROLE %1$I NOLOGIN; GRANT %1$I TO %2$I;',
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
