"""Which addresses may be asked: public ones, however a URL or a host name spells them.

URLs are parsed as browsers do (https://url.spec.whatwg.org, by ada-url), so 0x7f.1 and 2130706433
are 127.0.0.1 here too, and the host that is checked is the host that is asked.
"""

import re
import socket
from collections.abc import Callable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from ada_url import URL

from wrinkle.curation.web.fetch_result import FetchError, Status

Network = IPv4Network | IPv6Network
Resolver = Callable[[str, int], Sequence[str]]
"""(host, port) → every address of the host, as text; raises socket.gaierror."""

_PORTS = {"http:": 80, "https:": 443}
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile("[A-Za-z0-9._~-]")
_MAPPED = ip_network("::ffff:0:0/96")
_NAT64 = ip_network("64:ff9b::/96")
_UNICAST6 = ip_network("2000::/3")
# `is_global` differs between releases of Python; these are never a web server's.
_SPECIAL = [
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("224.0.0.0/3", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
]


def parse(url: str, base: str | None = None) -> URL:
    """A URL, relative to `base` if one is given, in the form that `normalise` describes.

    Raises:
        FetchError: it is not http or https, or contains a user name or password.
    """
    try:
        parsed = URL(url, base=base)
        parsed.hash = ""
        parsed = URL(_ESCAPE.sub(_plain, parsed.href))
    except ValueError:
        raise FetchError(Status.BAD_URL, "it cannot be parsed") from None
    if parsed.protocol not in _PORTS:
        raise FetchError(Status.BAD_URL, f"{parsed.protocol} is neither http: nor https:")
    if parsed.username or parsed.password:
        raise FetchError(Status.BAD_URL, "it contains a user name or password")
    return parsed


def normalise(url: str) -> str:
    """The form in which URLs are compared: two URLs with the same form are one image.

    Lower-case host in ASCII, addresses in their usual form, no default port, no dot segments, no
    fragment, escapes in capitals and only where needed (RFC 3986, 6.2.2). The query is kept,
    tracking parameters included: only the server knows what a parameter means, and a signed URL
    does not work without all of them. Equal bytes under two URLs are found by their digest.

    Raises:
        FetchError: as `parse`.
    """
    return parse(url).href


def _plain(escape: re.Match[str]) -> str:
    if escape[1] is None:  # unescaped, it could form an escape with what follows it
        return "%25"
    character = chr(int(escape[1], 16))
    return character if _UNRESERVED.fullmatch(character) else f"%{escape[1].upper()}"


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet.

    IPv6 that embeds an IPv4 address counts as that one if it leads to it (mapped, NAT64); 6to4 and
    Teredo, which are obsolete, and everything else outside 2000::/3 are refused.
    """
    if address in _MAPPED or address in _NAT64:
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    if isinstance(address, IPv6Address) and address not in _UNICAST6:
        return False
    return address.is_global and not any(address in network for network in _SPECIAL)


def resolve(host: str, port: int) -> list[str]:
    """Every address that the system knows for a host."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked_addresses(
    url: URL, allow: Sequence[Network] = (), resolver: Resolver = resolve
) -> list[str]:
    """The addresses to connect to for a URL, all of them public; asks the resolver once.

    A name with public and other addresses is refused: it is likely to be an attack.

    Args:
        allow: networks that are accepted although they are not public, for tests.

    Raises:
        FetchError: there is no address, or one that is not public.
    """
    host = url.hostname.strip("[]")
    try:
        found = resolver(host, int(url.port or _PORTS[url.protocol]))
    except socket.gaierror as error:
        temporary = error.errno == socket.EAI_AGAIN
        status = Status.NO_CONNECTION if temporary else Status.NO_HOST
        raise FetchError(status, f"{host}: {error.strerror}") from None
    except UnicodeError:
        raise FetchError(Status.NO_HOST, f"{host} is not a host name") from None
    if not found:
        raise FetchError(Status.NO_HOST, host)
    for text in found:
        address = ip_address(text)
        if not is_public(address) and not any(address in network for network in allow):
            raise FetchError(Status.NOT_PUBLIC, f"{host} is at {text}")
    return list(found)
