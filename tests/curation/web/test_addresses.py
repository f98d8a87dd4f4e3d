import socket
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrinkle.curation.web.addresses import checked_addresses, is_public, normalise, parse, resolve
from wrinkle.curation.web.fetch_result import FetchError, Status

PUBLIC = "93.184.216.34"


def reason(url: str, *answers: str, **options) -> FetchError:
    resolver = (lambda host, port: answers) if answers else resolve
    with pytest.raises(FetchError) as caught:
        checked_addresses(parse(url), resolver=resolver, **options)
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:443/a", "http://example.com:443/a"),
        ("http://h/a/./b/../c/%2e%2E/d", "http://h/a/d"),
        ("http://h/../../x.jpg", "http://h/x.jpg"),
        ("http://h/a#part", "http://h/a"),
        ("http://h/%7euser/%41%2f%c3%a9", "http://h/~user/A%2F%C3%A9"),
        ("http://h/é ü?q=ä b", "http://h/%C3%A9%20%C3%BC?q=%C3%A4%20b"),
        ("http://h/100%", "http://h/100%25"),
        ("http://h/%%34%31", "http://h/%2541"),
        ("http://h/a?utm_source=x&b=1&a=2", "http://h/a?utm_source=x&b=1&a=2"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://0x7F.1/", "http://127.0.0.1/"),
        ("http:\\\\h\\a", "http://h/a"),
        ("  http://h/\ta\n ", "http://h/a"),
    ],
)
def test_urls_have_a_normal_form(url, normal):
    assert normalise(url) == normal
    assert normalise(normal) == normal


@given(
    st.builds(
        "{}{}{}{}".format,
        st.sampled_from(["http://h.example/", "HTTPS://A.b:8443/x/", "http://[2001:DB8::1]/"]),
        st.text(st.sampled_from("aB/.%2e5é?#& ~\\\t:@;=+"), max_size=20),
        st.sampled_from(["", "?", "?q=", "#"]),
        st.text(max_size=10),
    )
)
def test_normalising_twice_changes_nothing(url):
    try:
        normal = normalise(url)
    except FetchError:
        return
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://h/a.jpg", "data:image/png;base64,AAAA", "gopher://h/"),
        *("//h/a.jpg", "a.jpg", "../../etc/passwd", "", "http://", "http://1.2.3.4.5/"),
        *("http://user:secret@h/", "http://secret@h/", "http://a b/", "http://h/\ud800"),
        *("http://h:99999/", "javascript:alert(1)"),
    ],
)
def test_unsuitable_urls_are_refused(url):
    with pytest.raises(FetchError) as caught:
        parse(url)
    assert caught.value.status == Status.BAD_URL
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "0.0.0.0"),
        *("169.254.169.254", "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1"),
        *("198.18.0.1", "203.0.113.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255"),
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "fec0::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:100.64.0.1", "::127.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002::"),
        *("2001:0:7f00:1::", "2001:db8::1", "100::1", "3fff::1", "4000::1"),
    ],
)
def test_private_addresses_are_recognised(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"],
)
def test_public_addresses_are_recognised(address):
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    [
        *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "017700000001"),
        *("127.0.0.1", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"),
        *("localhost", "LOCALHOST", "１２７.0.0.1", "%31%32%37.0.0.1", "0", "0x0"),
        *("169.254.169.254", "2852039166", "[fe80::1]", "[64:ff9b::7f00:1]", "10.1"),
    ],
)
def test_every_form_of_a_private_address_is_recognised(host):
    assert reason(f"http://{host}:8000/a.jpg").status == Status.NOT_PUBLIC


def test_a_number_that_only_the_resolver_understands_is_checked():
    for spelling in ("2130706433", "0x7f.1", "0177.0.0.1"):
        assert all(not is_public(ip_address(address)) for address in resolve(spelling, 80))


def test_one_private_address_among_others_is_refused():
    assert checked_addresses(parse("http://h/"), resolver=lambda h, p: [PUBLIC]) == [PUBLIC]
    error = reason("http://h/", PUBLIC, "10.0.0.7")
    assert (error.status, error.detail) == (Status.NOT_PUBLIC, "h is at 10.0.0.7")


def test_only_an_allowed_network_is_accepted():
    allow = [ip_network("127.0.0.1/32")]
    assert checked_addresses(parse("http://127.0.0.1/"), allow) == ["127.0.0.1"]
    assert reason("http://127.0.0.2/", allow=allow).status == Status.NOT_PUBLIC
    assert reason("http://[::ffff:127.0.0.1]/", allow=allow).status == Status.NOT_PUBLIC


def test_names_without_an_address_are_refused():
    def fail(code: int):
        def resolver(host: str, port: int) -> list[str]:
            raise socket.gaierror(code, "why")

        return resolver

    for code, status in (
        (socket.EAI_NONAME, Status.NO_HOST),
        (socket.EAI_AGAIN, Status.NO_CONNECTION),
    ):
        with pytest.raises(FetchError) as caught:
            checked_addresses(parse("http://h/"), resolver=fail(code))
        assert caught.value.status == status
    assert reason(f"http://{'a' * 64}.example/").status == Status.NO_HOST
    with pytest.raises(FetchError, match="no such host: h"):
        checked_addresses(parse("http://h/"), resolver=lambda h, p: [])


def test_the_resolver_gets_the_urls_port():
    asked = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return [PUBLIC]

    for url in ("http://h/", "https://h/", "https://h:8443/", "http://[2606:4700::1]/"):
        checked_addresses(parse(url), resolver=resolver)
    assert asked == [("h", 80), ("h", 443), ("h", 8443), ("2606:4700::1", 80)]
