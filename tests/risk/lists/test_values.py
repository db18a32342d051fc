"""Values have one canonical form, and what no payment can have is refused with words."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risk.lists.keys import NO_LENGTHS, entry_key, lengths_of, network_keys
from risk.lists.values import TYPES, BadValue, canonical
from risk.lists.wider import candidates


@pytest.mark.parametrize(
    ("type_name", "text", "expected"),
    [
        ("card", " tok-7 ", "tok-7"),
        ("country", "de", "DE"),
        ("currency", "eur", "EUR"),
        ("mcc", "7995", "7995"),
        ("bin", "411111", "411111"),
        ("ip", "192.0.2.7", "192.0.2.7"),
        ("ip", "192.0.2.7/32", "192.0.2.7"),
        ("ip", "192.0.2.0/24", "192.0.2.0/24"),
        ("ip", "2001:DB8:0::1", "2001:db8::1"),
        ("ip", "2001:db8::/32", "2001:db8::/32"),
        ("ip", "::ffff:192.0.2.7", "192.0.2.7"),
        ("ip", "::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("ip", "::/0", "::/0"),
        ("text", "any thing", "any thing"),
    ],
)
def test_a_value_has_one_form(type_name: str, text: str, expected: str) -> None:
    assert canonical(type_name, text) == expected
    assert canonical(type_name, expected) == expected


@pytest.mark.parametrize(
    ("type_name", "text", "why"),
    [
        ("card", "", "1 to 128"), ("card", "x" * 129, "1 to 128"), ("card", "a\x00b", "control"),
        ("card", "4111 1111 1111 1111", "card number"), ("country", "XX", "ISO 3166"),
        ("country", "4111111111111111", "what looks like a card number"),
        ("currency", "XXQ", "ISO 4217"), ("mcc", "79", "four digits"), ("bin", "41111", "6 to 8"),
        ("ip", "300.1.1.1", "no IP address"), ("ip", "192.0.2.1/24", "write 192.0.2.0/24"),
        ("ip", "x" * 50, r"x{40}\.\.\."),
    ],
)  # fmt: skip
def test_what_no_payment_has_is_refused(type_name: str, text: str, why: str) -> None:
    with pytest.raises(BadValue, match=why):
        canonical(type_name, text)


def test_every_type_names_fields_of_a_payment() -> None:
    from risk.domain.event import Payment

    assert {name for one in TYPES.values() for name in one.fields} <= set(Payment.__struct_fields__)


@given(st.ip_addresses(), st.integers(0, 128))
def test_an_address_is_looked_up_by_every_network_that_holds_it(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, length: int
) -> None:
    length = min(length, address.max_prefixlen)
    around = str(ipaddress.ip_network(f"{address}/{length}", strict=False))
    listed = canonical("ip", around)
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None and length < 96:
        return  # written as IPv6, it is still an IPv4 address
    keys = list(network_keys(str(address), lengths_of("ip", listed)))
    assert keys == [entry_key("ip", listed)]
    assert listed in candidates("ip", str(address))


def test_what_is_no_address_is_in_no_network() -> None:
    assert list(network_keys("unknown", (2**33 - 1, 2**129 - 1))) == []
    assert lengths_of("card", "x") == NO_LENGTHS
    assert candidates("ip", "unknown") == []
    assert candidates("card", "x") == ["x"]
