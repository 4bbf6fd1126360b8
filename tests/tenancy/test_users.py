"""People: passwords kept as argon2id, tokens of 15 minutes, guessing slowed, no word too many."""

import datetime as dt
from uuid import UUID

import jwt
import pytest

from app.clock import utc_now
from app.db.session import Session
from app.errors import (
    ConfigurationInvalid,
    Conflict,
    Forbidden,
    InputInvalid,
    RateLimited,
    Unauthorized,
)
from app.policy.request_limits import RequestLimiter
from app.tenancy import logins, users
from app.tenancy.logins import MEMORY_S, Attempt, People, SigningKeys
from app.tenancy.scopes import Role, of_role
from app.tenancy.users import NewUser, User
from tests import factories
from tests.factories import AUTHOR, PEPPER

OLD, NEW = "old-key-" + "x" * 32, "new-key-" + "y" * 32
SECRET = "correct horse battery staple"
EMAIL = "ana@shop.example"


@pytest.fixture
def keys() -> SigningKeys:
    return SigningKeys((OLD, NEW))


@pytest.fixture
def limiter(redis_url: str):
    made = RequestLimiter(redis_url)
    yield made
    made.close()


@pytest.fixture
def app_id(session: Session) -> UUID:
    return factories.make_app(session).id


@pytest.fixture
def ana(session: Session, app_id: UUID) -> User:
    new = NewUser(email="Ana@Shop.example", role=Role.ADMIN, password=SECRET, app_id=app_id)
    return users.create(session, new, AUTHOR)


def sign_in(
    session: Session, limiter: RequestLimiter, email: str = EMAIL, password: str = SECRET
) -> User:
    attempt = Attempt(email=email, password=password, origin="192.0.2.1")
    return logins.login(session, limiter.take_request, attempt, pepper=PEPPER)


def test_a_person_signs_in_and_their_token_speaks_for_them(session, limiter, keys, ana):
    user = sign_in(session, limiter, "ANA@shop.example ")
    ticket = keys.issue(user, utc_now())
    found = People(keys).person(lambda: session, ticket.token, utc_now())
    assert (found.id, found.app_id, found.role) == (ana.id, ana.app_id, Role.ADMIN)
    assert found.last_login_at is not None


def test_a_token_lasts_fifteen_minutes(session, keys, ana):
    now = utc_now()
    ticket = keys.issue(ana, now)
    people = People(keys)
    people.person(lambda: session, ticket.token, now + dt.timedelta(minutes=14))
    with pytest.raises(Unauthorized):
        people.person(lambda: session, ticket.token, now + dt.timedelta(minutes=15))


def test_a_token_says_what_the_seed_says(keys, ana):
    claims = jwt.decode(keys.issue(ana, utc_now()).token, NEW, ["HS256"], issuer="mailqueue")
    assert (claims["sub"], claims["role"], claims["app"]) == (str(ana.id), "admin", str(ana.app_id))
    assert claims["exp"] - claims["iat"] == 900
    assert claims["jti"]


def test_older_keys_verify_until_they_are_taken_out(keys, ana):
    token = SigningKeys((OLD,)).issue(ana, utc_now()).token
    assert keys.read(token, utc_now())[0] == ana.id
    with pytest.raises(Unauthorized):
        SigningKeys((NEW,)).read(token, utc_now())


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_a_token_of_another_algorithm_is_refused(keys, ana, algorithm):
    claims = jwt.decode(keys.issue(ana, utc_now()).token, NEW, ["HS256"], issuer="mailqueue")
    secret = None if algorithm == "none" else NEW * 2
    forged = jwt.encode(claims, secret, algorithm)
    with pytest.raises(Unauthorized):
        keys.read(forged, utc_now())


@pytest.mark.parametrize("text", ["", "a.b.c", "mq_live_x", "ey.ey.ey", "\0"])
def test_nonsense_is_no_token(keys, text):
    with pytest.raises(Unauthorized):
        keys.read(text, utc_now())


def test_a_disabled_person_is_out_after_five_seconds(session, keys, ana, limiter):
    now_s = [0.0]
    people = People(keys, lambda: now_s[0])
    token = keys.issue(ana, utc_now()).token
    people.person(lambda: session, token, utc_now())
    users.update(session, ana, AUTHOR, is_disabled=True)
    now_s[0] = MEMORY_S
    with pytest.raises(Unauthorized):
        people.person(lambda: session, token, utc_now())
    with pytest.raises(Unauthorized):
        sign_in(session, limiter)


def test_a_new_password_ends_the_tokens_of_before(session, keys, ana, limiter):
    token = keys.issue(ana, utc_now() - dt.timedelta(minutes=1)).token
    users.set_password(session, ana.id, "another good sentence", AUTHOR)
    with pytest.raises(Unauthorized):
        People(keys).person(lambda: session, token, utc_now())
    with pytest.raises(Unauthorized):
        sign_in(session, limiter)
    assert sign_in(session, limiter, password="another good sentence").id == ana.id


@pytest.mark.usefixtures("ana")
def test_wrong_address_and_wrong_password_read_the_same(session, limiter):
    told = set()
    for email, password in (
        (EMAIL, "wrong"),
        ("nobody@shop.example", SECRET),
        ("no address", SECRET),
        (EMAIL, "x" * 1_000),
    ):
        with pytest.raises(Unauthorized) as refused:
            sign_in(session, limiter, email, password)
        told.add(str(refused.value))
    assert len(told) == 1


@pytest.mark.parametrize("email", [EMAIL, "nobody@shop.example"])
@pytest.mark.usefixtures("ana")
def test_guessing_is_slowed_whether_or_not_the_person_exists(session, limiter, email):
    def take(bucket: str, per_minute: int, burst: int):
        del per_minute  # next to no refill, however slow the machine
        return limiter.take_request(bucket, 1, burst)

    attempt = Attempt(email=email, password="wrong", origin="192.0.2.1")
    for _ in range(5):
        with pytest.raises(Unauthorized):
            logins.login(session, take, attempt, pepper=PEPPER)
    with pytest.raises(RateLimited):
        logins.login(session, take, attempt, pepper=PEPPER)


def test_who_has_a_second_factor_gets_no_token_for_a_password(session, limiter, ana):
    session.execute("UPDATE users SET totp_secret_sealed = 'sealed' WHERE id = %s", (ana.id,))
    with pytest.raises(Forbidden, match="second factor"):
        sign_in(session, limiter)


def test_no_password_and_no_address_reach_the_audit(session, ana):
    users.set_password(session, ana.id, "another good sentence", AUTHOR)
    users.update(session, ana, AUTHOR, is_disabled=True)
    rows = session.execute("SELECT a::text FROM audit_logs a WHERE target_kind = 'user'").fetchall()
    assert len(rows) == 3
    for word in (SECRET, "another", "argon2", "ana@"):
        assert word not in str(rows)
    kept = session.execute("SELECT password_hash FROM users").fetchall()
    assert all(text.startswith("$argon2id$") for (text,) in kept)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"email": "no address"}, "email"),
        ({"password": "short"}, "password"),
        ({"role": Role.SUPER_ADMIN}, "role"),
        ({"name": "a\nb"}, "name"),
    ],
)
def test_a_person_that_makes_no_sense_names_the_field(session, app_id, fields, field):
    new = {"email": EMAIL, "role": Role.VIEWER, "password": SECRET, "app_id": app_id} | fields
    with pytest.raises(InputInvalid) as refused:
        users.create(session, NewUser(**new), AUTHOR)
    assert refused.value.field == field


def test_an_address_signs_in_once(session, ana):
    with pytest.raises(Conflict, match="exists already"):
        users.create(
            session,
            NewUser(email=EMAIL, role=Role.VIEWER, password=SECRET, app_id=ana.app_id),
            AUTHOR,
        )


def test_the_last_super_admin_stays(session):
    new = NewUser(email="root@example.org", role=Role.SUPER_ADMIN, password=SECRET)
    root = users.create(session, new, AUTHOR)
    with pytest.raises(Conflict, match="last super_admin"):
        users.update(session, root, AUTHOR, is_disabled=True)


def test_a_viewer_changes_nothing():
    assert all(scope.endswith(":read") for scope in of_role(Role.VIEWER))


def test_short_keys_sign_nothing():
    for setting in ("", "short", f"{NEW},short"):
        with pytest.raises(ConfigurationInvalid, match="JWT_KEYS"):
            SigningKeys.from_setting(setting)
