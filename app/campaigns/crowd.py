"""The people of a campaign as a forecast moves them: in lots that are due together and go on alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID
from zoneinfo import ZoneInfo

from app.campaigns.advance import account_for
from app.campaigns.prospects import Cohort, Setting
from app.scheduling.calendar import zone_named
from app.scheduling.forecast import Openings
from app.scheduling.senders import Lot, Slot
from app.scheduling.shares import Bound, millis


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What decides how people go on: their zone, whether steps follow, a slowed domain."""

    zone: ZoneInfo
    goes_on: bool
    domain: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """A lead whose account is no longer active."""

    account_id: UUID
    lead_id: UUID


class Crowd:
    """Sorts the people of a campaign into kinds and lots."""

    def __init__(self, setting: Setting) -> None:
        self.kinds: list[Kind] = []
        self._setting = setting
        self._numbers = {account_id: n for n, account_id in enumerate(setting.senders)}
        self._active = set(setting.active)
        self._known: dict[tuple[str, bool, str | None], int] = {}

    def lots(self, cohorts: Sequence[Cohort], openings: Openings, now_ms: int) -> Iterator[Lot]:
        """Yield the next mails of these people, in their order; planned ones have their slots."""
        steps, priority = len(self._setting.waits), self._setting.priority
        for cohort in cohorts:
            account_id = self._account(cohort)
            if cohort.due_at is None or account_id is None or cohort.position >= steps:
                continue
            kind = self._kind(cohort)
            due_ms = max(millis(cohort.due_at), now_ms)
            slot = self._slot(cohort, kind, due_ms, openings)
            waited = Bound.WINDOW if slot[0] > due_ms else None
            sender = self._numbers[account_id]
            yield Lot(sender, kind, cohort.people, cohort.position, slot, priority, waited)

    def _account(self, cohort: Cohort) -> UUID | None:
        if cohort.account_id in self._active or cohort.lead_id is None:
            return cohort.account_id if self._active else None
        chosen = _Chosen(account_id=cohort.account_id, lead_id=cohort.lead_id)
        return account_for(chosen, self._setting.active)

    def _kind(self, cohort: Cohort) -> int:
        timezone = cohort.timezone or self._setting.timezone
        key = (timezone, cohort.goes_on, cohort.domain)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.kinds)
            zone = zone_named(timezone)
            self.kinds.append(Kind(zone=zone, goes_on=cohort.goes_on, domain=cohort.domain))
        return found

    def _slot(self, cohort: Cohort, kind: int, due_ms: int, openings: Openings) -> Slot:
        if cohort.is_planned and cohort.closes_at is not None:
            return due_ms, millis(cohort.closes_at)
        return openings.slot(self.kinds[kind].zone, due_ms)
