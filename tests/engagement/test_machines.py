import datetime as dt

import pytest

from app.engagement.machines import Judgement, Sighting, Verdict, judge

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
OUTLOOK = (
    "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; Win64; x64; Trident/7.0; .NET4.0C; "
    "Microsoft Outlook 16.0.5266; ms-office)"
)
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.5.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
YAHOO = "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html"
LATER = dt.timedelta(minutes=5)


def judged(kind: str = "open", user_agent: str = FIREFOX, **facts) -> Judgement:
    known = {"method": "GET", "purpose": "", "since_sent": LATER, "links_in_burst": 1} | facts
    return judge(Sighting(kind=kind, user_agent=user_agent, **known))


@pytest.mark.parametrize("user_agent", [FIREFOX, OUTLOOK, THUNDERBIRD, IPHONE])
@pytest.mark.parametrize("kind", ["open", "click"])
def test_a_mail_program_or_browser_is_a_person(kind, user_agent):
    assert judged(kind, user_agent).verdict is Verdict.HUMAN


@pytest.mark.parametrize(
    ("user_agent", "rule"),
    [(GMAIL, "image_proxy"), (YAHOO, "image_proxy"), ("Mozilla/5.0", "apple_privacy")],
)
def test_a_providers_image_fetch_is_a_proxy(user_agent, rule):
    assert judged(user_agent=user_agent) == Judgement(verdict=Verdict.PROXY, rule=rule)


@pytest.mark.parametrize(
    "user_agent",
    [
        "BarracudaCentral/1.0",
        "Mozilla/5.0 (compatible; Proofpoint URL Defense)",
        "Mimecast-URL-Scanner/2",
        "Mozilla/5.0 (Windows NT 10.0) BingPreview/1.0b",
        "Mozilla/5.0 (Windows NT 10.0) SkypeUriPreview Preview/0.5",
        "Microsoft URL Control - 6.01.9782",
        "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
        "Mozilla/5.0 AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "python-requests/2.32.3",
        "curl/8.5.0",
        "Go-http-client/2.0",
    ],
)
def test_a_known_scanner_is_recognised_by_its_name(user_agent):
    assert judged("click", user_agent) == Judgement(verdict=Verdict.SCANNER, rule="user_agent")


def test_no_user_agent_is_a_scanner():
    assert judged(user_agent="  ").rule == "no_user_agent"


def test_head_is_a_scanner_whatever_it_calls_itself():
    assert judged(method="HEAD") == Judgement(verdict=Verdict.SCANNER, rule="head")


@pytest.mark.parametrize("purpose", ["prefetch", "prefetch;prerender", "Preview"])
def test_a_browser_that_says_prefetch_is_one(purpose):
    assert judged(purpose=purpose) == Judgement(verdict=Verdict.PREFETCH, rule="purpose")


def test_three_links_at_once_are_a_scanner_and_two_are_not():
    assert judged("click", links_in_burst=3).rule == "burst"
    assert judged("click", links_in_burst=2).verdict is Verdict.HUMAN


def test_a_click_right_after_the_send_is_a_scanner():
    assert judged("click", since_sent=dt.timedelta(seconds=1)).rule == "click_after_send"
    assert judged("click", since_sent=dt.timedelta(seconds=2)).verdict is Verdict.HUMAN


def test_a_click_on_a_mail_of_unknown_send_time_is_judged_without_it():
    assert judged("click", since_sent=None).verdict is Verdict.HUMAN


def test_an_open_right_after_the_send_may_be_a_person():
    assert judged("open", since_sent=dt.timedelta(0)).verdict is Verdict.HUMAN


def test_an_unsubscribe_is_always_somebodys_wish():
    assert judged("unsubscribe", "", since_sent=dt.timedelta(0)).verdict is Verdict.HUMAN
