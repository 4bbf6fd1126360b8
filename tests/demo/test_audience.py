"""The demo's readers: always the same, and a mix that shows people and machines."""

import csv
from collections import Counter

import pytest

from app.demo.audience import Deed, acts
from app.demo.stage import FOLDER
from app.engagement.machines import CLICK_AFTER_SEND


@pytest.fixture(scope="module")
def leads() -> list[dict[str, str]]:
    with (FOLDER / "leads.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_500_leads_at_reserved_domains(leads) -> None:
    domains = {lead["email"].rpartition("@")[2] for lead in leads}
    assert len({lead["email"] for lead in leads}) == 500
    assert domains == {"example.com", "example.net", "example.org"}
    assert any(not lead["lastName"].isascii() for lead in leads)
    assert len({lead["timezone"] for lead in leads}) >= 10


def test_a_reader_does_the_same_in_every_run() -> None:
    assert acts("anna@example.com", 1) == acts("anna@example.com", 1)


def test_people_machines_and_unsubscribes_all_occur(leads) -> None:
    deeds = Counter((act.deed, act.is_human) for lead in leads for act in acts(lead["email"], 1))
    for deed in (Deed.OPEN, Deed.CLICK):
        assert deeds[deed, True] > 20
        assert deeds[deed, False] > 5
    assert 3 <= deeds[Deed.UNSUBSCRIBE, True] <= 25


def test_people_need_longer_than_scanners(leads) -> None:
    delays = [act.delay_s for lead in leads for act in acts(lead["email"], 2) if act.is_human]
    assert min(delays) > CLICK_AFTER_SEND.total_seconds()
