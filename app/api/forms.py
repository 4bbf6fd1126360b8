"""What bodies and answers have in common."""

import datetime as dt
import functools
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict

from app.config import Settings
from app.secretbox import SecretBox
from app.submission.schemas import moment


class Given(BaseModel):
    """A body: an unknown field is refused, and no error repeats what was sent."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    def said(self) -> dict[str, Any]:
        """Return the fields the caller named, for a change of only those."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def _utc(value: dt.datetime) -> dt.datetime | None:
    return moment(value, "UTC", "The time")


# In UTC, because PostgreSQL refuses offsets that ISO 8601 allows, such as -21:06.
Time = Annotated[dt.datetime, AfterValidator(_utc)]
AwareTime = Annotated[AwareDatetime, AfterValidator(_utc)]


class View(BaseModel):
    """An answer, read from the attributes of a room's dataclass."""

    model_config = ConfigDict(from_attributes=True)


def secret_box(settings: Settings) -> SecretBox:
    """Return the box that opens this installation's secrets; raises ConfigurationInvalid."""
    return _box(settings.sealing_keys.get_secret_value())


@functools.lru_cache(maxsize=4)
def _box(setting: str) -> SecretBox:
    return SecretBox.from_setting(setting)
