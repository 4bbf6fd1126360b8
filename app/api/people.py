"""A person's token (JWT of POST /v1/login), read: their app and what their role lets them do."""

from app.api.authentication import Presented, ReadPerson
from app.api.call import Caller
from app.audit import Author
from app.config import Settings
from app.errors import Unauthorized
from app.tenancy.logins import People, SigningKeys
from app.tenancy.scopes import Role, of_role


def reader(settings: Settings) -> ReadPerson:
    """Return what tells whom a token speaks for; without signing keys no token opens anything."""
    keys = settings.jwt_keys.get_secret_value()
    if not keys:
        return _nobody
    people = People(SigningKeys.from_setting(keys))

    def read(presented: Presented) -> Caller:
        user = people.person(presented.open_session, presented.token, presented.now)
        is_operator = user.role is Role.SUPER_ADMIN
        name = f"user:{user.id}"
        return Caller(
            app_id=presented.app_id if is_operator else user.app_id,
            scopes=of_role(user.role),
            author=Author(name=name, origin=str(presented.origin)),
            limit_key=name,
            is_operator=is_operator,
        )

    return read


def _nobody(_presented: Presented) -> Caller:
    raise Unauthorized(
        "Nobody can sign in here.",
        why="MAILQUEUE_JWT_KEYS is empty.",
        fix="Use an API key, or run `mailqueue init` on the server.",
        field="Authorization",
    )
