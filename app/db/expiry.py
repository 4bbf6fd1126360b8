"""Rows whose time is over: a room says which, once; counted for a dry run, or deleted batch by batch.

A batch is one short transaction that skips what somebody else holds, so nothing ever waits for it.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString
from uuid import UUID

from psycopg.rows import TupleRow

from app.db.session import Session, one
from app.ids import lower_bound


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How many rows, and their bytes as PostgreSQL stores them (without indexes)."""

    rows: int = 0
    size_bytes: int = 0


def _nothing(session: Session, gone: Sequence[TupleRow]) -> None:
    del session, gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Rows of `table` (alias t) of an app that `where` names; they go in the order of `key`, a UUID.

    Binds of `where`: %(app)s, the app, or None for what belongs to none; %(until)s, the time from
    which on all is kept; %(before)s, the first id of that time. `delete` takes %(keys)s, which lie
    between %(low)s and %(high)s; `then` gets what it returns, in the same transaction. Give the
    table an index by app_id: what other apps keep for longer is not to be walked through.
    """

    table: LiteralString
    key: LiteralString
    where: LiteralString
    delete: LiteralString
    then: Callable[[Session, Sequence[TupleRow]], None] = _nothing

    def measure(self, session: Session, app_id: UUID | None, until: dt.datetime) -> Measure:
        """Return what would go."""
        query = (
            "SELECT count(*), coalesce(sum(pg_column_size(t)), 0) "  # noqa: S608 - constants of the rooms
            f"FROM {self.table} t WHERE {self._chosen(app_id)}"
        )
        row = one(session, query, _edge(app_id, until))
        return Measure(rows=int(row[0]), size_bytes=int(row[1])) if row else Measure()

    def take(self, session: Session, app_id: UUID | None, until: dt.datetime, limit: int) -> int:
        """Delete at most `limit` rows, the oldest first; return how many. Fewer: none is left."""
        where = self._chosen(app_id)
        chosen = (
            f"SELECT t.{self.key} FROM {self.table} t WHERE {where} "  # noqa: S608 - as above
            f"ORDER BY t.{self.key} LIMIT %(limit)s FOR UPDATE OF t SKIP LOCKED"
        )
        # What refers to a row may have come while it was waited for; nothing can now that it is held.
        still = (
            f"SELECT t.{self.key} FROM {self.table} t "  # noqa: S608 - as above
            f"WHERE t.{self.key} = ANY(%(keys)s) AND {where}"
        )
        binds = _edge(app_id, until) | {"limit": limit}
        with session.transaction():
            found = [row[0] for row in session.execute(chosen, binds).fetchall()]
            keys = [row[0] for row in session.execute(still, binds | {"keys": found}).fetchall()]
            if not keys:
                return 0
            span = {"keys": keys, "low": min(keys), "high": max(keys)}
            gone = session.execute(self.delete, span).fetchall()
            self.then(session, gone)
        return len(gone)

    def _chosen(self, app_id: UUID | None) -> LiteralString:
        # IS NOT DISTINCT FROM would say both, and use no index.
        owner = "t.app_id IS NULL" if app_id is None else "t.app_id = %(app)s"
        return f"{owner} AND {self.where}"


def _edge(app_id: UUID | None, until: dt.datetime) -> dict[str, Any]:
    return {"app": app_id, "before": lower_bound(until), "until": until}
