"""A person's token (JWT of POST /v1/login), read: their app and what their role lets them do."""

from app.api.authentication import Presented
from app.api.call import Caller
from app.errors import Unauthorized


def read_person(presented: Presented) -> Caller:
    """Return whom a token speaks for; raises Unauthorized."""
    del presented
    raise Unauthorized(
        "The token is not valid.",
        why="It is expired, changed, or not one of ours.",
        fix="Log in again: POST /v1/login.",
        field="Authorization",
    )
