"""API keys: shown once, kept as a hash, refused in one sentence, forgotten within seconds."""

import dataclasses
import datetime as dt
import json
from ipaddress import ip_address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.clock import utc_now
from app.db.session import Session
from app.errors import (
    ConfigurationInvalid,
    Conflict,
    Forbidden,
    InputInvalid,
    NotFound,
    Unauthorized,
)
from app.tenancy import api_keys, key_text
from app.tenancy.api_keys import IssuedKey, NewKey
from app.tenancy.key_text import read_key
from app.tenancy.keyring import MEMORY_S, KeyHolder, Keyring
from app.tenancy.scopes import ALL_SCOPES, Scope, require_grantable
from tests import factories
from tests.factories import AUTHOR

PEPPER = "api key pepper for the tests"
HERE = ip_address("192.0.2.7")
HOUR = dt.timedelta(hours=1)


@pytest.fixture
def app_id(session: Session) -> UUID:
    return factories.make_app(session).id


class Door:
    """A process that lets holders of keys in."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now_s = 0.0
        self.trips = 0
        self.ring = Keyring(PEPPER, lambda: self.now_s)

    def opened(self) -> Session:
        self.trips += 1
        return self.session

    def enter(
        self, text: str, origin: str = "192.0.2.7", now: dt.datetime | None = None
    ) -> KeyHolder:
        return self.ring.holder(self.opened, text, origin=ip_address(origin), now=now or utc_now())


@pytest.fixture
def door(session: Session) -> Door:
    return Door(session)


def make(session: Session, app_id: UUID, **fields: object) -> IssuedKey:
    new = {"name": "production", "scopes": ("email:send",)} | fields
    return api_keys.create(session, PEPPER, NewKey(app_id=app_id, **new), AUTHOR)


def test_a_key_opens_the_door_of_its_app(session: Session, app_id: UUID, door: Door):
    issued = make(session, app_id, per_minute=7)
    holder = door.enter(issued.text)
    assert (holder.app_id, holder.key_id) == (app_id, issued.key.id)
    assert holder.scopes == {Scope.EMAIL_SEND}
    assert (holder.per_minute, holder.is_test, holder.app_is_sandbox) == (7, False, False)
    assert issued.text.startswith("mq_live_")


def test_a_test_key_says_so(session: Session, app_id: UUID, door: Door):
    issued = make(session, app_id, is_test=True)
    assert issued.text.startswith("mq_test_")
    assert door.enter(issued.text).is_test
    with pytest.raises(Unauthorized):
        door.enter(issued.text.replace("mq_test", "mq_live"))


def test_admin_holds_every_scope(session: Session, app_id: UUID, door: Door):
    assert door.enter(make(session, app_id, scopes=("admin",)).text).scopes == ALL_SCOPES


def test_the_secret_is_neither_in_the_row_nor_in_lists_nor_in_the_audit(
    session: Session, app_id: UUID
):
    issued = make(session, app_id)
    secret = issued.text.rpartition("_")[2]
    rows = session.execute("SELECT k::text FROM api_keys k").fetchall()
    audit = session.execute("SELECT a::text FROM audit_logs a").fetchall()
    (listed,) = api_keys.list_page(session, app_id)
    assert listed.masked == issued.text.replace(secret, "***")
    for text in (str(rows), str(audit), repr(issued), repr(listed), repr(read_key(issued.text))):
        assert secret not in text
    assert secret.encode().hex() not in str(rows)


@pytest.mark.parametrize("change", ["secret", "id", "tail", "pepper"])
def test_what_is_not_the_key_is_refused_in_one_sentence(
    session: Session, app_id: UUID, door: Door, change: str
):
    text = make(session, app_id).text
    _, _, public_id, secret = text.split("_")
    other = key_text.fresh(is_test=False)
    wrong = {
        "secret": f"mq_live_{public_id}_{other.secret.decode()}",
        "id": f"mq_live_{other.public_id}_{secret}",
        "tail": text + "x",
        "pepper": text,
    }[change]
    if change == "pepper":
        door.ring = Keyring("another pepper")
    with pytest.raises(Unauthorized) as refused:
        door.enter(wrong)
    with pytest.raises(Unauthorized) as nonsense:
        door.enter("nonsense")
    assert str(refused.value) == str(nonsense.value)


def test_an_expired_key_opens_nothing(session: Session, app_id: UUID, door: Door):
    issued = make(session, app_id, expires_at=utc_now() + HOUR)
    door.enter(issued.text)
    with pytest.raises(Unauthorized):
        door.enter(issued.text, now=utc_now() + 2 * HOUR)


def test_a_revoked_key_opens_nothing_after_five_seconds(session: Session, app_id: UUID, door: Door):
    issued = make(session, app_id)
    door.enter(issued.text)
    api_keys.revoke(session, app_id, issued.key.id, AUTHOR)
    door.now_s = MEMORY_S
    assert MEMORY_S <= 5
    with pytest.raises(Unauthorized):
        door.enter(issued.text)


def test_a_known_key_costs_no_round_trip(session: Session, app_id: UUID, door: Door):
    text = make(session, app_id).text
    door.enter(text)
    first = door.trips
    for _ in range(50):
        door.enter(text)
    assert door.trips == first


def test_an_unknown_id_is_remembered_like_a_known_one(door: Door):
    for _ in range(3):
        with pytest.raises(Unauthorized):
            door.enter(str(key_text.fresh(is_test=False)))
    unknown = str(key_text.fresh(is_test=False))
    before = door.trips
    for _ in range(3):
        with pytest.raises(Unauthorized):
            door.enter(unknown)
    assert door.trips == before + 1


def test_last_use_is_noted_once_a_minute(session: Session, app_id: UUID, door: Door):
    issued = make(session, app_id)
    assert api_keys.get(session, app_id, issued.key.id).last_used_at is None
    door.enter(issued.text)
    first = api_keys.get(session, app_id, issued.key.id).last_used_at
    assert first is not None
    door.now_s = 30.0
    door.enter(issued.text)
    assert api_keys.get(session, app_id, issued.key.id).last_used_at == first


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("192.0.2.0/24", "192.0.2.200", "192.0.3.1"),
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("2001:db8::/32", "2001:db8::1", "192.0.2.1"),
    ],
)
def test_a_key_is_used_from_its_networks_only(
    session: Session, app_id: UUID, door: Door, network: str, inside: str, outside: str
):
    text = make(session, app_id, networks=(network,)).text
    door.enter(text, inside)
    with pytest.raises(Forbidden, match="from this address"):
        door.enter(text, outside)


def test_the_key_of_a_suspended_app_is_told_so(session: Session, app_id: UUID, door: Door):
    text = make(session, app_id).text
    session.execute("UPDATE apps SET status = 'suspended' WHERE id = %s", (app_id,))
    with pytest.raises(Forbidden, match="suspended"):
        door.enter(text)


def test_after_a_rotation_both_keys_are_valid_until_the_grace_ends(
    session: Session, app_id: UUID, door: Door
):
    old = make(session, app_id, networks=("192.0.2.0/24",), per_minute=5)
    new = api_keys.rotate(session, PEPPER, old.key, HOUR, AUTHOR)
    door.enter(old.text)
    door.enter(new.text)
    same = ("name", "scopes", "networks", "per_minute", "is_test")
    assert [getattr(new.key, name) for name in same] == [getattr(old.key, name) for name in same]
    with pytest.raises(Unauthorized):
        door.enter(old.text, now=utc_now() + 2 * HOUR)
    door.enter(new.text, now=utc_now() + 2 * HOUR)


def test_a_key_is_rotated_once(session: Session, app_id: UUID):
    old = make(session, app_id)
    api_keys.rotate(session, PEPPER, old.key, HOUR, AUTHOR)
    with pytest.raises(Conflict, match="cannot be rotated"):
        api_keys.rotate(session, PEPPER, old.key, HOUR, AUTHOR)
    assert len(api_keys.list_page(session, app_id)) == 2


def test_of_a_line_of_rotations_few_old_keys_stay_valid(session: Session, app_id: UUID, door: Door):
    line = [make(session, app_id)]
    for _ in range(4):
        line.append(api_keys.rotate(session, PEPPER, line[-1].key, HOUR, AUTHOR))
    for issued in line[-3:]:
        door.enter(issued.text)
    for issued in line[:-3]:
        with pytest.raises(Unauthorized):
            door.enter(issued.text)


def test_a_revoked_key_is_not_rotated(session: Session, app_id: UUID):
    old = make(session, app_id)
    api_keys.revoke(session, app_id, old.key.id, AUTHOR)
    with pytest.raises(Conflict):
        api_keys.rotate(session, PEPPER, old.key, HOUR, AUTHOR)


def test_another_apps_key_is_not_found(session: Session, app_id: UUID):
    other = make(session, factories.make_app(session).id)
    for attempt in (api_keys.get, lambda *args: api_keys.revoke(*args, AUTHOR)):
        with pytest.raises(NotFound):
            attempt(session, app_id, other.key.id)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"scopes": ("email:sned",)}, "scopes"),
        ({"scopes": ()}, "scopes"),
        ({"networks": ("10.0.0.0/33",)}, "allowed_networks"),
        ({"networks": ("10.0.0.0/8",) * 101}, "allowed_networks"),
        ({"expires_at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}, "expires_at"),
        ({"expires_at": dt.datetime(9999, 12, 31, tzinfo=dt.UTC)}, "expires_at"),
        ({"per_minute": 0}, "per_minute"),
    ],
)
def test_a_key_that_makes_no_sense_names_its_field(
    session: Session, app_id: UUID, fields: dict[str, object], field: str
):
    with pytest.raises(InputInvalid) as refused:
        make(session, app_id, **fields)
    assert refused.value.field == field


def test_every_change_of_a_key_is_audited(session: Session, app_id: UUID):
    issued = make(session, app_id)
    api_keys.rotate(session, PEPPER, issued.key, HOUR, AUTHOR)
    api_keys.revoke(session, app_id, issued.key.id, AUTHOR)
    api_keys.revoke(session, app_id, issued.key.id, AUTHOR)
    query = "SELECT action FROM audit_logs WHERE target_kind = 'api_key' ORDER BY id"
    found = sorted(action for (action,) in session.execute(query).fetchall())
    assert found == ["api_key.created", "api_key.created", "api_key.revoked", "api_key.rotated"]


def test_pages_go_from_new_to_old(session: Session, app_id: UUID):
    made = [make(session, app_id, name=f"key {n}").key for n in range(3)]
    first = api_keys.list_page(session, app_id, limit=2)
    rest = api_keys.list_page(session, app_id, after=first[-1].id, limit=2)
    assert {key.id for key in first + rest} == {key.id for key in made}
    assert [key.id for key in first + rest] == sorted((k.id for k in made), reverse=True)


def test_nobody_hands_out_more_than_they_hold():
    require_grantable(frozenset({Scope.ADMIN}), [Scope.EMAIL_SEND])
    require_grantable(frozenset({Scope.EMAIL_SEND}), [Scope.EMAIL_SEND])
    with pytest.raises(Forbidden):
        require_grantable(ALL_SCOPES - {Scope.ADMIN}, [Scope.ADMIN])


def test_without_a_pepper_no_key_is_compared():
    with pytest.raises(ConfigurationInvalid, match="API_KEY_PEPPER"):
        Keyring("")


@given(st.text())
def test_reading_a_key_never_fails(text: str):
    found = read_key(text)
    assert found is None or str(found) == text


def test_a_fresh_key_reads_as_itself():
    fresh = key_text.fresh(is_test=True)
    assert read_key(str(fresh)) == fresh
    assert json.dumps(dataclasses.asdict(fresh), default=str)
