"""The metadata every table is declared on, and the columns they share. Declarations only."""

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)

UUID = pg.UUID(as_uuid=True)
TIME = sa.DateTime(timezone=True)
HASH = pg.BYTEA


def key() -> sa.Column[object]:
    """Declare the primary key: a UUIDv7 made by the program."""
    return sa.Column("id", UUID, primary_key=True)


def app_id(*, nullable: bool = False) -> sa.Column[object]:
    """Declare the tenant: row-level security compares it with mailqueue.app_id."""
    return sa.Column(
        "app_id", UUID, sa.ForeignKey("apps.id", ondelete="CASCADE"), nullable=nullable
    )


def refers(
    name: str, target: str, *, nullable: bool = False, ondelete: str | None = "CASCADE"
) -> sa.Column[object]:
    """Declare a foreign key to `target`.id; `ondelete` None refuses to delete a target in use.

    Not RESTRICT: that is checked at once, and deleting an app would trip over its own rows.
    """
    reference = sa.ForeignKey(f"{target}.id", ondelete=ondelete)
    return sa.Column(name, UUID, reference, nullable=nullable)


def created_at() -> sa.Column[object]:
    """Declare when PostgreSQL first saw the row."""
    return sa.Column("created_at", TIME, nullable=False, server_default=sa.text("now()"))


def text(name: str, *, default: str | None = None, nullable: bool = False) -> sa.Column[object]:
    """Declare a text column."""
    server_default = None if default is None else sa.text(f"'{default}'")
    return sa.Column(name, sa.Text, nullable=nullable, server_default=server_default)


def json(name: str, default: str | None = "{}") -> sa.Column[object]:
    """Declare a jsonb column; `default` None makes it nullable."""
    server_default = None if default is None else sa.text(f"'{default}'::jsonb")
    return sa.Column(name, pg.JSONB, nullable=default is None, server_default=server_default)


def number(
    name: str, default: int | None = 0, *, kind: type[sa.types.TypeEngine[int]] = sa.Integer
) -> sa.Column[object]:
    """Declare an integer column; `default` None makes it nullable."""
    server_default = None if default is None else sa.text(str(default))
    return sa.Column(name, kind, nullable=default is None, server_default=server_default)


def flag(name: str, default: str = "false") -> sa.Column[object]:
    """Declare a boolean column."""
    return sa.Column(name, sa.Boolean, nullable=False, server_default=sa.text(default))


def time(name: str) -> sa.Column[object]:
    """Declare a nullable point in time."""
    return sa.Column(name, TIME, nullable=True)


def texts(name: str) -> sa.Column[object]:
    """Declare an array of texts, empty by default."""
    return sa.Column(name, pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'"))


def one_of(column: str, values: Iterable[str]) -> sa.CheckConstraint:
    """Check the closed choice of a StrEnum, repeated by the database."""
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def turned_over(*, dead_rows: int, changes: int) -> dict[str, str]:
    """Return the vacuum of a small table whose rows come and go: by number, without a pause."""
    return {
        "autovacuum_vacuum_scale_factor": "0",
        "autovacuum_vacuum_threshold": str(dead_rows),
        "autovacuum_vacuum_cost_delay": "0",
        "autovacuum_analyze_scale_factor": "0",
        "autovacuum_analyze_threshold": str(changes),
    }
