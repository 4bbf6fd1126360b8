"""How Alembic reaches the database: on the connection app/db/migrate.py hands over.

From the alembic command line (writing revisions) it opens DATABASE_URL itself.
"""

import sqlalchemy as sa
from alembic import context

from app.config import settings
from app.db.migrate import engine
from app.db.partitions import is_partition
from app.tables import metadata


def is_declared(name: str | None, kind: str, _parents: object) -> bool:
    """Leave partitions out of comparisons: they are data that grows with the calendar."""
    return not (kind == "table" and name is not None and is_partition(name))


def run(connection: sa.Connection) -> None:
    """Apply revisions on `connection`, all in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=is_declared,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over: sa.Connection | None = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    with engine(settings().database_url).connect() as opened:
        run(opened)
