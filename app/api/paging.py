"""Keyset pages: `data`, `cursor`, `has_more` (seed 003). A cursor is the last row's key, opaque."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from app.errors import InputInvalid

T = TypeVar("T")
Row = TypeVar("Row")

MOST = 200


class PageQuery(BaseModel):
    """Which page of a list; newest first unless the list says otherwise."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    limit: Annotated[int, Field(ge=1, le=MOST, description="Rows of a page.")] = 50
    cursor: Annotated[
        str | None, Field(max_length=400, description="`cursor` of the page before.")
    ] = None

    @property
    def after_id(self) -> UUID | None:
        """Return the id the page starts behind; raises InputInvalid for a cursor not of ours."""
        if self.cursor is None:
            return None
        try:
            return UUID(self.after_text)
        except ValueError as error:
            raise _not_ours() from error

    @property
    def after_text(self) -> str | None:
        """Return the key the page starts behind, as text; raises InputInvalid."""
        if self.cursor is None:
            return None
        try:
            padded = self.cursor + "=" * (-len(self.cursor) % 4)
            text = base64.b64decode(padded, b"-_", validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise _not_ours() from error
        if not text.isprintable():
            raise _not_ours()
        return text


class Page(BaseModel, Generic[T]):
    """One page of a list; `cursor` asks for the next one while `has_more`."""

    data: list[T]
    cursor: str | None
    has_more: bool


def page(
    rows: Sequence[Row],
    query: PageQuery,
    view: Callable[[Row], T],
    key: Callable[[Row], UUID | str],
) -> Page[T]:
    """Return a page of at most `query.limit` of `rows`, which were read with limit + 1."""
    shown = rows[: query.limit]
    has_more = len(rows) > len(shown)
    cursor = None
    if has_more:
        cursor = cursor_of(key(shown[-1]))
    return Page(data=[view(row) for row in shown], cursor=cursor, has_more=has_more)


def cursor_of(key: UUID | str) -> str:
    """Return the cursor of a page that starts behind `key`."""
    return base64.urlsafe_b64encode(str(key).encode()).decode().rstrip("=")


def _not_ours() -> InputInvalid:
    return InputInvalid(
        "The cursor is not one of ours.",
        why="It was cut, changed or made up.",
        fix="Send `cursor` of the page before as it came, or none for the first page.",
        field="cursor",
    )
