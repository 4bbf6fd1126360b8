"""How a request can be refused before anybody looks at what it asks for."""

from app.errors import InputInvalid


class BodyUnreadable(InputInvalid):
    """A body is no JSON at all: 400, where a body that breaks the schema is 422."""

    code = "body_unreadable"


class BodyTooLarge(InputInvalid):
    """A body is larger than the route takes: 413."""

    code = "body_too_large"


class MediaTypeUnknown(InputInvalid):
    """A body is of a media type or charset the route does not take: 415."""

    code = "media_type_unknown"


class FieldsInvalid(InputInvalid):
    """Fields break the schema; `found` has a pointer and a sentence for each."""

    code = "fields_invalid"

    def __init__(self, where: str, found: list[dict[str, str]]) -> None:
        self.found = found
        first = found[0]
        super().__init__(
            f"{len(found)} field(s) of the {where} cannot be used.",
            why=f"{first['pointer'] or '/'}: {first['detail']}",
            fix="Correct the fields named in `errors`; nothing of this request was kept.",
            field=first["pointer"],
        )
