"""Every case is asked at both doors, hot WSGI and Flask, which must give the same answer."""

import uuid
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from werkzeug.test import Client, EnvironBuilder, run_wsgi_app

from app.proxies import TrustedProxies
from app.queueing.payloads import Hit
from tracking.hot import HotRoutes
from tracking.routes import create_app
from tracking.tokens import TokenKeys
from tracking.tracker import GIF, Tracker

KEYS = TokenKeys([b"old key", b"new key"])
APP, OTHER_APP, EMAIL = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
MAIL = KEYS.mail_token(EMAIL, APP)
GONE = KEYS.unsubscribe_token(EMAIL, APP)
URL = "https://shop.example/a?b=1&c=%2F#d"
LINK = KEYS.link_token(URL, 7, APP)
ONE_CLICK = "List-Unsubscribe=One-Click"
FORM = "application/x-www-form-urlencoded"


class Shelf(list):
    """Keeps lines in memory; `is_full` makes it refuse them."""

    is_full = False

    def keep(self, line: bytes) -> bool:
        if not self.is_full:
            self.append(Hit.model_validate_json(line))
        return not self.is_full


def door(*, hot: bool, waiting=lambda: 0) -> SimpleNamespace:
    shelf, proxies = Shelf(), TrustedProxies("127.0.0.0/8")
    tracker = Tracker(KEYS, shelf.keep)
    app = create_app(tracker, proxies, waiting)
    wsgi = HotRoutes(app, tracker, proxies) if hot else app
    return SimpleNamespace(client=Client(wsgi), hits=shelf)


@pytest.fixture(params=["hot", "flask"])
def tracking(request: pytest.FixtureRequest) -> SimpleNamespace:
    return door(hot=request.param == "hot")


CASES = {
    "pixel": ("GET", f"/t/{MAIL}.gif"),
    "pixel with a query": ("GET", f"/t/{MAIL}.gif?x=1"),
    "pixel asked by HEAD": ("HEAD", f"/t/{MAIL}.gif"),
    "pixel asked by POST": ("POST", f"/t/{MAIL}.gif"),
    "pixel with OPTIONS": ("OPTIONS", f"/t/{MAIL}.gif"),
    "pixel of nobody": ("GET", "/t/nonsense.gif"),
    "pixel in another script": ("GET", f"/t/{quote('ключ')}.gif"),
    "pixel without token": ("GET", "/t/.gif"),
    "pixel without name": ("GET", "/t/"),
    "pixel with a slash in it": ("GET", f"/t/a/{MAIL}.gif"),
    "pixel with a slash behind": ("GET", f"/t/{MAIL}.gif/"),
    "pixel of another kind": ("GET", f"/t/{MAIL}.png"),
    "pixel with the unsubscribe token": ("GET", f"/t/{GONE}.gif"),
    "click": ("GET", f"/c/{MAIL}/{LINK}"),
    "click asked by HEAD": ("HEAD", f"/c/{MAIL}/{LINK}"),
    "click asked by PUT": ("PUT", f"/c/{MAIL}/{LINK}"),
    "click with the tokens swapped": ("GET", f"/c/{LINK}/{MAIL}"),
    "click without link": ("GET", f"/c/{MAIL}/"),
    "click without mail": ("GET", f"/c//{LINK}"),
    "click with a slash behind": ("GET", f"/c/{MAIL}/{LINK}/"),
    "click with a changed signature": ("GET", f"/c/{MAIL}/{LINK[:-1]}"),
    "click of two apps": ("GET", f"/c/{KEYS.mail_token(EMAIL, OTHER_APP)}/{LINK}"),
    "click to a script": ("GET", f"/c/{MAIL}/{KEYS.link_token('javascript:alert(1)', 0, APP)}"),
    "click that splits headers": (
        "GET",
        f"/c/{MAIL}/{KEYS.link_token('https://a.example/' + chr(13) + chr(10) + 'X: y', 0, APP)}",
    ),
    "click to an international name": (
        "GET",
        f"/c/{MAIL}/{KEYS.link_token('https://müller.example/straße?q=ä', 3, APP)}",
    ),
    "click on nothing a host could be": (
        "GET",
        f"/c/{MAIL}/{KEYS.link_token('https://[bad/', 3, APP)}",
    ),
    "too long": ("GET", f"/t/{'a' * 9_000}.gif"),
    "too long by its query": ("GET", f"/c/{MAIL}/{LINK}?{'a' * 9_000}"),
    "unsubscribe page": ("GET", f"/u/{GONE}"),
    "unsubscribe page by HEAD": ("HEAD", f"/u/{GONE}"),
    "unsubscribe with a mail token": ("GET", f"/u/{MAIL}"),
    "seed open": ("GET", f"/api/track/open?token={MAIL}"),
    "seed open without token": ("GET", "/api/track/open"),
    "seed click": ("GET", f"/api/track/click?token={MAIL}~{LINK}"),
    "seed click with one token": ("GET", f"/api/track/click?token={MAIL}"),
    "nothing": ("GET", "/"),
    "two slashes": ("GET", f"//t/{MAIL}.gif"),
    "a climb": ("GET", f"/t/../t/{MAIL}.gif"),
    "a NUL": ("GET", "/t/%00.gif"),
    "health": ("GET", "/healthz"),
    "stylesheet": ("GET", "/page.css"),
}


def facts(hits: list[Hit]) -> list[dict[str, object]]:
    return [hit.model_dump(exclude={"event_id", "at_ms"}) for hit in hits]


@pytest.mark.parametrize(("method", "target"), CASES.values(), ids=CASES.keys())
def test_both_doors_answer_the_same(method, target):
    answers = []
    for hot in (True, False):
        asked = door(hot=hot)
        got = asked.client.open(target, method=method, headers={"User-Agent": "Firefox"})
        answers.append((got.status, sorted(got.headers), got.data, facts(asked.hits)))
    assert answers[0] == answers[1]


def test_the_pixel_is_43_bytes_and_never_stored(tracking):
    got = tracking.client.get(f"/t/{MAIL}.gif", headers={"User-Agent": "Firefox"})
    assert (got.status_code, got.data, len(got.data)) == (200, GIF, 43)
    assert "no-store" in got.headers["Cache-Control"]
    assert got.content_type == "image/gif"
    assert [(hit.email_id, hit.kind, hit.user_agent) for hit in tracking.hits] == [
        (EMAIL, "open", "Firefox")
    ]


def test_a_pixel_with_a_bad_signature_is_shown_and_not_counted(tracking):
    got = tracking.client.get(f"/t/{MAIL[:-1]}.gif")
    assert (got.status_code, got.data, list(tracking.hits)) == (200, GIF, [])


def test_a_click_redirects_to_the_signed_destination(tracking):
    got = tracking.client.get(f"/c/{MAIL}/{LINK}")
    assert (got.status_code, got.headers["Location"]) == (302, URL)
    assert "no-store" in got.headers["Cache-Control"]
    assert [(hit.kind, hit.link, hit.url) for hit in tracking.hits] == [("click", 7, URL)]


def test_a_token_of_an_old_key_still_counts(tracking):
    old = TokenKeys([b"old key"])
    got = tracking.client.get(f"/c/{old.mail_token(EMAIL, APP)}/{LINK}")
    assert (got.status_code, len(tracking.hits)) == (302, 1)


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("click w")])
def test_a_click_nobody_signed_is_never_a_redirect(tracking, case):
    got = tracking.client.get(CASES[case][1])
    assert (got.status_code, got.location, list(tracking.hits)) == (404, None, [])


@pytest.mark.parametrize(
    "case",
    [
        "click of two apps",
        "click to a script",
        "click that splits headers",
        "click on nothing a host could be",
    ],
)
def test_a_destination_that_must_not_be_is_not_redirected_to(tracking, case):
    got = tracking.client.get(CASES[case][1])
    assert (got.status_code, got.location, list(tracking.hits)) == (404, None, [])


def test_head_counts_as_a_hit_of_its_own_kind(tracking):
    got = tracking.client.head(f"/t/{MAIL}.gif")
    assert (got.status_code, got.data, got.headers["Content-Length"]) == (200, b"", "43")
    assert [hit.method for hit in tracking.hits] == ["HEAD"]


def test_the_client_behind_a_trusted_proxy_is_the_one_recorded(tracking):
    chain = {"X-Forwarded-For": "192.0.2.66, 198.51.100.1"}
    for peer in ("127.0.0.1", "203.0.113.9"):
        tracking.client.get(f"/t/{MAIL}.gif", headers=chain, environ_base={"REMOTE_ADDR": peer})
    assert [hit.ip for hit in tracking.hits] == ["198.51.100.1", "203.0.113.9"]


def test_a_long_user_agent_is_cut(tracking):
    tracking.client.get(f"/t/{MAIL}.gif", headers={"User-Agent": "x" * 5_000})
    assert [len(hit.user_agent) for hit in tracking.hits] == [512]


def test_a_prefetch_says_so(tracking):
    tracking.client.get(f"/c/{MAIL}/{LINK}", headers={"Sec-Purpose": "prefetch;prerender"})
    assert [hit.purpose for hit in tracking.hits] == ["prefetch;prerender"]


def test_get_on_unsubscribe_asks_and_changes_nothing(tracking):
    got = tracking.client.get(f"/u/{GONE}")
    assert got.status_code == 200
    assert '<form method="post">' in got.text
    assert "default-src 'none'" in got.headers["Content-Security-Policy"]
    assert "<script" not in got.text
    assert "style=" not in got.text
    assert list(tracking.hits) == []


@pytest.mark.parametrize(
    "body",
    [
        {"data": ONE_CLICK, "content_type": FORM},
        {"data": {"List-Unsubscribe": "One-Click"}, "content_type": "multipart/form-data"},
        {"data": "List-Unsubscribe=One-Click\r\n", "content_type": FORM},
    ],
    ids=["urlencoded", "multipart", "with a line end"],
)
def test_one_click_unsubscribes_without_a_redirect_or_cookie(tracking, body):
    got = tracking.client.post(f"/u/{GONE}", **body)
    assert (got.status_code, "Set-Cookie" in got.headers) == (200, False)
    assert "You are unsubscribed" in got.text
    assert [(hit.email_id, hit.kind, hit.method) for hit in tracking.hits] == [
        (EMAIL, "unsubscribe", "POST")
    ]


@pytest.mark.parametrize("data", ["", "List-Unsubscribe=No", "a=b"])
def test_a_post_that_does_not_ask_for_it_changes_nothing(tracking, data):
    got = tracking.client.post(f"/u/{GONE}", data=data, content_type=FORM)
    assert (got.status_code, list(tracking.hits)) == (400, [])


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unsubscribe_link_nobody_signed_does_not_work(tracking, method):
    got = tracking.client.open(f"/u/{MAIL}", method=method, data=ONE_CLICK, content_type=FORM)
    assert (got.status_code, list(tracking.hits)) == (404, [])


def test_a_body_of_any_size_is_not_read(tracking):
    got = tracking.client.post(f"/u/{GONE}", data="x" * 20_000, content_type=FORM)
    assert (got.status_code, list(tracking.hits)) == (413, [])


def test_a_full_disk_still_answers_pixel_and_click_but_promises_no_unsubscribe(tracking):
    tracking.hits.is_full = True
    assert tracking.client.get(f"/t/{MAIL}.gif").status_code == 200
    assert tracking.client.get(f"/c/{MAIL}/{LINK}").status_code == 302
    refused = tracking.client.post(f"/u/{GONE}", data=ONE_CLICK, content_type=FORM)
    assert refused.status_code == 503
    assert "Nothing was changed" in refused.text


def test_the_seeds_routes_count_like_ours(tracking):
    assert tracking.client.get(f"/api/track/open?token={MAIL}").data == GIF
    got = tracking.client.get(f"/api/track/click?token={MAIL}~{LINK}")
    assert (got.status_code, got.location) == (302, URL)
    assert [hit.kind for hit in tracking.hits] == ["open", "click"]


def test_a_wrong_method_names_the_right_ones(tracking):
    got = tracking.client.post(f"/t/{MAIL}.gif")
    assert (got.status_code, list(tracking.hits)) == (405, [])
    assert "GET" in got.headers["Allow"]


def test_health_is_bad_without_a_disk_to_keep_hits_on():
    assert door(hot=True, waiting=lambda: None).client.get("/healthz").status_code == 503


@pytest.mark.parametrize("hot", [True, False])
def test_a_request_without_address_or_query_is_answered(hot):
    asked = door(hot=hot)
    environ = EnvironBuilder(path=f"/t/{MAIL}.gif").get_environ()
    del environ["QUERY_STRING"]
    environ.pop("REMOTE_ADDR", None)
    assert run_wsgi_app(asked.client.application, environ)[1] == "200 OK"
    assert [(hit.ip, hit.user_agent) for hit in asked.hits] == [("", "")]
