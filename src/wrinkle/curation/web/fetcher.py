"""A URL → a picture: with a contact in every request, by robots.txt, slowly for each host."""

import random
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from email.utils import parsedate_to_datetime
from functools import lru_cache

from ada_url import URL
from protego import Protego

from wrinkle import __version__
from wrinkle.curation.web.addresses import Network, Resolver, checked_addresses, parse, resolve
from wrinkle.curation.web.fetch_result import Answer, FetchError, FetchResult, Status
from wrinkle.curation.web.http_get import http_get
from wrinkle.curation.web.inspect_image import try_fetch
from wrinkle.curation.web.rate_limit import MAX_HOSTS, RateLimit
from wrinkle.errors import WrinkleError
from wrinkle.settings import Count, NotNegative, Part, Positive

AGENT = "wrinkle"
"""Our name in a robots.txt."""
MAX_REDIRECTS = 5
BACK_OFF = (1.0, 4.0)
"""Seconds before the second and the third try, times a random factor of 0.5 to 1.5."""
MAX_WAIT = 60.0
"""Seconds of a Retry-After or a Crawl-delay that are respected."""
ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5
DAY = 86_400  # RFC 9309, 2.4: no robots.txt is kept for longer


class Limits(Part):
    """What a picture may cost.

    Attributes:
        seconds: of one request, from connecting to its last byte.
        size: bytes.
        pixels: width × height.
        interval: seconds between two requests to one host.
        threads: hosts that are asked at a time.
    """

    seconds: Positive = 30.0
    size: Count = 20_000_000
    pixels: Count = 100_000_000
    interval: NotNegative = 1.0
    threads: Count = 16


def check_contact(contact: str) -> str:
    """Returns the contact.

    Raises:
        WrinkleError: it is neither a mail address nor a URL.
    """
    if not re.fullmatch(r"[!-~]+@[!-~]+|https?://[!-~]+", contact):
        raise WrinkleError(
            f"{contact!r}: give a mail address or a URL as contact, at which the owners of servers"
            " can reach you"
        )
    return contact


class Fetcher:
    """Fetches pictures, and the pages and answers that lead to them.

    Args:
        contact: a mail address or a URL at which the owner of a server can reach you; sent with
            every request.
        permitted: host names whose owner permits what their robots.txt forbids.
        allow: networks that may be asked although they are not public, for tests.
        resolver: host name → addresses, for tests.
        now: the time in seconds, for tests; likewise `sleep`.

    Raises:
        WrinkleError: see `check_contact`.
    """

    def __init__(
        self,
        contact: str,
        limits: Limits | None = None,
        permitted: Collection[str] = (),
        *,
        allow: Sequence[Network] = (),
        resolver: Resolver = resolve,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        agent = f"{AGENT}/{__version__} (+{check_contact(contact)})"
        self.limits = limits or Limits()
        self._headers = {"User-Agent": agent, "Accept": "*/*"}
        self._permitted, self._allow, self._resolver = permitted, allow, resolver
        self.rate_limit = RateLimit(now, sleep)
        self._rules = lru_cache(MAX_HOSTS)(self._read_rules)

    def read(
        self, url: str, headers: Mapping[str, str] | None = None, robots: bool = True
    ) -> bytes:
        """The body of a page.

        Args:
            headers: additional ones, such as a key; not sent to other servers after a redirect.
            robots: whether robots.txt applies; False for a public API.

        Raises:
            WrinkleError: why it cannot be read, in one line.
        """
        try:
            return self._follow([url], headers or {}, robots).body
        except FetchError as error:
            raise WrinkleError(f"{url} cannot be read: {error}") from None

    def fetch(self, url: str) -> FetchResult:
        """The picture at one URL, or why there is none; never raises."""
        urls = [url]
        return try_fetch(urls, lambda: self._follow(urls, {}, robots=True), self.limits.pixels)

    def _follow(self, urls: list[str], headers: Mapping[str, str], robots: bool) -> Answer:
        """The answer with status 200 for urls[0]; the URLs of redirects are appended to `urls`."""
        url = parse(urls[0])
        for _ in range(MAX_REDIRECTS + 1):
            interval = self._permit(url) if robots else self.limits.interval
            answer = self._ask(url, headers, interval)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                break
            urls.append(answer.headers["location"])
            target = parse(urls[-1], base=url.href)
            urls[-1] = target.href
            if target.origin != url.origin:  # a key must not reach another server
                headers = {}
            url = target
        else:
            raise FetchError(Status.REDIRECTS, f"more than {MAX_REDIRECTS}", answer)
        if answer.status != 200:
            raise FetchError(Status.HTTP_ERROR, f"HTTP {answer.status}", answer)
        return answer

    def _ask(self, url: URL, headers: Mapping[str, str], interval: float) -> Answer:
        """One server's answer, with further tries after temporary errors."""
        for pause in (*BACK_OFF, None):
            self.rate_limit.wait(url.hostname, interval)
            requested_pause = None
            try:
                addresses = checked_addresses(url, self._allow, self._resolver)
                seconds, size = self.limits.seconds, self.limits.size
                answer = http_get(url, addresses, {**self._headers, **headers}, seconds, size)
                if pause is None or not _is_temporary(answer):
                    return answer
                requested_pause = _retry_after(answer)
            except FetchError as error:
                if pause is None or error.status != Status.NO_CONNECTION:
                    raise
            pause = requested_pause or pause * random.uniform(0.5, 1.5)
            self.rate_limit.pause(url.hostname, pause)
        raise AssertionError("unreachable")

    def _permit(self, url: URL) -> float:
        """Seconds between requests by a robots.txt; FetchError if it forbids the URL."""
        if url.hostname in self._permitted:
            return self.limits.interval
        rules, status, why = self._rules(url.origin, int(self.rate_limit.now() // DAY))
        if not rules.can_fetch(url.href, AGENT):
            raise FetchError(status, why)
        delay = rules.crawl_delay(AGENT) or 0.0
        if delay > MAX_WAIT:
            raise FetchError(Status.ROBOTS, f"it asks for {delay:g} s between requests")
        return max(self.limits.interval, delay)

    def _read_rules(self, origin: str, day: int) -> tuple[Protego, Status, str]:
        """A server's robots.txt by RFC 9309, 2.3.1, and status and detail for what it forbids."""
        urls = [f"{origin}/robots.txt"]
        try:
            text = self._follow(urls, {}, robots=False).body[:ROBOTS_BYTES]
            rules = Protego.parse(text.decode("utf-8-sig", "replace"))
            return rules, Status.ROBOTS, "it is forbidden there"
        except FetchError as error:
            absent = error.answer and error.answer.status in range(400, 500)
            if absent or error.status == Status.REDIRECTS:
                return Protego.parse(""), Status.ROBOTS, ""
            forbidding = Protego.parse("User-agent: *\nDisallow: /")
            if len(urls) == 1 and error.status in _SERVER_ERRORS:
                return forbidding, error.status, error.detail
            return forbidding, Status.ROBOTS, f"it cannot be read: {error}"


_SERVER_ERRORS = (Status.NO_HOST, Status.NOT_PUBLIC, Status.NO_CONNECTION)
"""Errors of robots.txt that every other URL of the server would have too."""


def _is_temporary(answer: Answer) -> bool:
    return answer.status is not None and (answer.status == 429 or answer.status >= 500)


def _retry_after(answer: Answer) -> float | None:
    """Seconds to wait by the header Retry-After (RFC 9110, 10.2.3), `MAX_WAIT` at most."""
    value = answer.headers.get("retry-after", "")
    try:
        if value.isdigit():
            seconds = float(value)
        else:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), MAX_WAIT)
