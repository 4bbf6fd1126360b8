"""Who made a hit: a person, or a machine that reads mail before or instead of one. Pure.

Every hit is kept with its verdict, the rule that decided and RULES, the version of this page, so
that better rules can be replayed over old hits. Reports show both numbers. `proxy` means that a
mail provider fetched the pixel (Apple and Yahoo may do so unread, Google mostly when it is
opened): evidence that the mail arrived, none that a person looked.

A handful of exact patterns decide. A user agent parser names browsers, which no rule asks for.
"""

import datetime as dt
import re
from dataclasses import dataclass
from enum import StrEnum

RULES = 1

# Scanners follow every link of a mail as it arrives; a person needs longer to read one line.
CLICK_AFTER_SEND = dt.timedelta(seconds=2)
BURST_WINDOW = dt.timedelta(seconds=2)
_BURST_LINKS = 3


class Verdict(StrEnum):
    """Who was it."""

    HUMAN = "human"
    SCANNER = "scanner"
    PREFETCH = "prefetch"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What is known of one hit.

    `since_sent` is None when the mail's send time is unknown; `links_in_burst` counts the distinct
    links of the mail that were followed within BURST_WINDOW of this hit, its own included.
    """

    kind: str
    method: str
    user_agent: str
    purpose: str
    since_sent: dt.timedelta | None
    links_in_burst: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict and the rule that gave it."""

    verdict: Verdict
    rule: str


_PROXIES = re.compile(r"GoogleImageProxy|YahooMailProxy|DuckDuckGo Email Protection", re.IGNORECASE)

# Apple's Mail Privacy Protection sends this and nothing more.
_APPLE_PRIVACY = "Mozilla/5.0"

_SCANNERS = re.compile(
    # gateways of mail security
    r"barracuda|proofpoint|urldefense|mimecast|messagelabs|symantec|sophos|trend ?micro|fireeye"
    r"|forcepoint|ironport|cisco ?secure|cloudmark|zscaler|area1|fortiguard|fortimail|vade ?secure"
    r"|avanan|abnormal|kaspersky|bitdefender|mailscanner|spamassassin|virustotal|urlscan"
    # Microsoft's Safe Links, Defender and its link previews
    r"|safelinks|microsoft defender|microsoft url control|msoffice-linkcheck|bingpreview"
    r"|microsoftpreview|skypeuripreview"
    # link previews of chats
    r"|slackbot|slack-imgproxy|telegrambot|whatsapp|facebookexternalhit|twitterbot|linkedinbot"
    r"|discordbot"
    # programs and crawlers
    r"|bot\b|crawler|spider|headless|phantomjs|selenium|puppeteer|curl/|wget/|python-|aiohttp/"
    r"|httpx/|go-http-client|java/|apache-httpclient|okhttp|libwww-perl|node-fetch|axios/|ruby\b"
    r"|link ?check|security ?scan|url ?scan",
    re.IGNORECASE,
)

_PREFETCHES = re.compile(r"prefetch|prerender|preview", re.IGNORECASE)

_PERSON = Judgement(verdict=Verdict.HUMAN, rule="none")
_ASKED = Judgement(verdict=Verdict.HUMAN, rule="asked")


def judge(sighting: Sighting) -> Judgement:
    """Return who made the hit: the first rule that speaks decides, and without one it is a person."""
    if sighting.kind == "unsubscribe":
        return _ASKED  # a POST with the one-click field: nobody sends that by following links
    return (
        _by_request(sighting.method, sighting.purpose)
        or _by_user_agent(sighting.user_agent)
        or _by_timing(sighting)
        or _PERSON
    )


def _by_request(method: str, purpose: str) -> Judgement | None:
    if method == "HEAD":
        return Judgement(verdict=Verdict.SCANNER, rule="head")
    if _PREFETCHES.search(purpose):
        return Judgement(verdict=Verdict.PREFETCH, rule="purpose")
    return None


def _by_user_agent(user_agent: str) -> Judgement | None:
    if not user_agent.strip():
        return Judgement(verdict=Verdict.SCANNER, rule="no_user_agent")
    if user_agent == _APPLE_PRIVACY:
        return Judgement(verdict=Verdict.PROXY, rule="apple_privacy")
    if _PROXIES.search(user_agent):
        return Judgement(verdict=Verdict.PROXY, rule="image_proxy")
    if _SCANNERS.search(user_agent):
        return Judgement(verdict=Verdict.SCANNER, rule="user_agent")
    return None


def _by_timing(sighting: Sighting) -> Judgement | None:
    if sighting.kind != "click":
        return None
    if sighting.links_in_burst >= _BURST_LINKS:
        return Judgement(verdict=Verdict.SCANNER, rule="burst")
    if sighting.since_sent is not None and sighting.since_sent < CLICK_AFTER_SEND:
        return Judgement(verdict=Verdict.SCANNER, rule="click_after_send")
    return None
