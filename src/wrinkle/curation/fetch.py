"""A URL → a picture, politely: we say who we are, heed robots.txt, and never hurry a host."""

import random
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache

from ada_url import URL
from protego import Protego

from wrinkle import __version__
from wrinkle.curation.addresses import Network, Resolver, checked_addresses, parse, resolve
from wrinkle.curation.pictures import record
from wrinkle.curation.records import Answer, Fetched, FetchError, Status
from wrinkle.curation.turns import REMEMBERED, Turns
from wrinkle.curation.wire import get
from wrinkle.errors import WrinkleError

AGENT = "wrinkle"
"""Our name in a robots.txt."""
MOST_REDIRECTS = 5
BACK_OFF = (1.0, 4.0)
"""Seconds before the second and the third try, times 0.5 to 1.5 by chance."""
MOST_PATIENCE = 60.0
"""Seconds that a Retry-After or a Crawl-delay may ask for."""
ROBOTS_BYTES = 500 * 1024  # RFC 9309, 2.5
DAY = 86_400  # RFC 9309, 2.4: no robots.txt is trusted for longer


@dataclass(frozen=True)
class Limits:
    """What a picture may cost.

    seconds: of one request, from connecting to its last byte. size: bytes. pixels: width × height.
    interval: seconds between two requests to one host. threads: hosts that are asked at a time.
    """

    seconds: float = 30.0
    size: int = 20_000_000
    pixels: int = 100_000_000
    interval: float = 1.0
    threads: int = 16


class Fetcher:
    """Fetches pictures, and the pages and answers that lead to them.

    Args:
        contact: a mail address or a URL at which the owner of a server finds you; sent with every
            request.
        permitted: host names whose owner has given you leave in spite of their robots.txt.
        allow: networks that may be asked though they are not public, for tests.
        resolver, now, sleep: likewise.

    Raises:
        WrinkleError: the contact is neither a mail address nor a URL.
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
        if not re.fullmatch(r"[!-~]+@[!-~]+|https?://[!-~]+", contact):
            raise WrinkleError(
                f"contact {contact!r}: give a mail address or a URL, so that those whose servers"
                " are asked can reach you"
            )
        self.limits = limits or Limits()
        self._headers = {"User-Agent": f"{AGENT}/{__version__} (+{contact})", "Accept": "*/*"}
        self._permitted, self._allow, self._resolver = permitted, allow, resolver
        self.turns = Turns(now, sleep)
        self._rules = lru_cache(REMEMBERED)(self._read_rules)

    def read(
        self, url: str, headers: Mapping[str, str] | None = None, robots: bool = True
    ) -> bytes:
        """The body of a page.

        Args:
            headers: more of them, a key say; not sent on to another server by a redirect.
            robots: False for an interface that its owner publishes for programs.

        Raises:
            WrinkleError: in one line, why it cannot be had.
        """
        try:
            return self._follow([url], headers or {}, robots).body
        except FetchError as error:
            raise WrinkleError(f"{url} cannot be read: {error}") from None

    def fetch(self, url: str) -> Fetched:
        """The picture at one URL, or why there is none; never raises."""
        hops = [url]
        return record(hops, lambda: self._follow(hops, {}, robots=True), self.limits.pixels)

    def _follow(self, hops: list[str], headers: Mapping[str, str], robots: bool) -> Answer:
        """The answer 200 to which the URL in `hops` leads; every redirect is added there."""
        url = parse(hops[0])
        for _ in range(MOST_REDIRECTS + 1):
            interval = self._permit(url) if robots else self.limits.interval
            answer = self._ask(url, headers, interval)
            if answer.status not in (301, 302, 303, 307, 308) or "location" not in answer.headers:
                break
            hops.append(answer.headers["location"])
            there = parse(hops[-1], base=url.href)
            hops[-1] = there.href
            if there.origin != url.origin:  # a key is for the one whom it was made for
                headers = {}
            url = there
        else:
            raise FetchError(Status.REDIRECTS, f"more than {MOST_REDIRECTS}", answer)
        if answer.status != 200:
            raise FetchError(Status.HTTP_ERROR, f"HTTP {answer.status}", answer)
        return answer

    def _ask(self, url: URL, headers: Mapping[str, str], interval: float) -> Answer:
        """One server's answer, with more tries where the trouble may pass."""
        for pause in (*BACK_OFF, None):
            self.turns.take(url.hostname, interval)
            asked = None
            try:
                addresses = checked_addresses(url, self._allow, self._resolver)
                everything = {**self._headers, **headers}
                seconds, size = self.limits.seconds, self.limits.size
                answer = get(url, addresses, everything, seconds, size)
                if pause is None or not _may_pass(answer):
                    return answer
                asked = _retry_after(answer)
            except FetchError as error:
                if pause is None or error.status != Status.NO_CONNECTION:
                    raise
            self.turns.hold(url.hostname, asked or pause * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def _permit(self, url: URL) -> float:
        """Seconds between requests that a robots.txt asks for, or FetchError where it forbids."""
        if url.hostname in self._permitted:
            return self.limits.interval
        rules, status, why = self._rules(url.origin, int(self.turns.now() // DAY))
        if not rules.can_fetch(url.href, AGENT):
            raise FetchError(status, why)
        delay = rules.crawl_delay(AGENT) or 0.0
        if delay > MOST_PATIENCE:
            raise FetchError(Status.ROBOTS, f"it asks for {delay:g} s between requests")
        return max(self.limits.interval, delay)

    def _read_rules(self, origin: str, day: int) -> tuple[Protego, Status, str]:
        """A server's robots.txt by RFC 9309, 2.3.1, and what to say where it forbids."""
        hops = [f"{origin}/robots.txt"]
        try:
            text = self._follow(hops, {}, robots=False).body[:ROBOTS_BYTES]
            rules = Protego.parse(text.decode("utf-8-sig", "replace"))
            return rules, Status.ROBOTS, "it is forbidden there"
        except FetchError as error:
            absent = error.answer and error.answer.status in range(400, 500)
            if absent or error.status == Status.REDIRECTS:
                return Protego.parse(""), Status.ROBOTS, ""
            forbidding = Protego.parse("User-agent: *\nDisallow: /")
            if len(hops) == 1 and error.status in _WHOLE_SERVER:
                return forbidding, error.status, error.detail
            return forbidding, Status.ROBOTS, f"it cannot be read: {error}"


_WHOLE_SERVER = (Status.NO_HOST, Status.NOT_PUBLIC, Status.NO_CONNECTION)
"""What befalls robots.txt and would befall all else there."""


def _may_pass(answer: Answer) -> bool:
    return answer.status is not None and (answer.status == 429 or answer.status >= 500)


def _retry_after(answer: Answer) -> float | None:
    """Seconds that a server asks us to stay away (RFC 9110, 10.2.3), as far as we do."""
    said = answer.headers.get("retry-after", "")
    try:
        if said.isdigit():
            seconds = float(said)
        else:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(seconds, 0.0), MOST_PATIENCE)
