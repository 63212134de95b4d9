from __future__ import annotations

import time

import pytest

from sipbridge.handoffs.allowed_routes import route_allowed


@pytest.mark.parametrize(
    ("pattern", "route"),
    [
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:+15550199@127.0.0.1:5080"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;transport=tcp"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1:5080;transport=tcp"),
        ("sip:*@127.0.0.1*", "SIP:Desk@127.0.0.1"),
        ("sip:*@PBX.example.com", "sip:desk@pbx.EXAMPLE.com"),
        ("sip:+1555*@pbx.example.com", "sip:+15550199@pbx.example.com"),
        ("sip:*@*.example.com", "sip:desk@pbx.example.com"),
        ("sip:*@*.example.com", "sip:desk@one.pbx.example.com"),
        ("sip:+1*55*99@pbx.example.com", "sip:+15550199@pbx.example.com"),
        ("sip:**@pbx.example.com", "sip:desk@pbx.example.com"),
        ("sips:desk@pbx.example.com", "sips:desk@pbx.example.com"),
        ("sip:desk@pbx.example.com:5080", "sip:desk@pbx.example.com:5080"),
        ("sip:*@10.0.0.*", "sip:desk@10.0.0.17"),
        ("tel:+1555*", "tel:+15550199"),
        ("tel:+1555*", "tel:+1555-01-99;ext=7"),
        ("sip:*@127.0.0.1*", "sip:*70%2315550199@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:+15550199@127.0.0.1;user=phone;transport=TCP"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;ttls=1"),
        ("sip:*", "sip:desk@anywhere.example"),
        ("tel:7*;phone-context=example.com", "tel:7042;phone-context=example.com"),
        ("sip:*@sbc.example.com;tgrp=*", "sip:+15550199@sbc.example.com;tgrp=local"),
        ("tel:+1555*", "tel:+15550199;rnd=1"),
        ("sip:*@*.example.com;transport=tls", "sip:desk@pbx.example.com;transport=tls"),
        ("sip:*@*.example.com:*", "sip:desk@pbx.example.com:5080;transport=tcp"),
        ("sip:*@pbx.example.com*;transport=tls", "sip:desk@pbx.example.com;transport=tls"),
        ("sip:*@pbx.example.com*;transport=tls", "sip:desk@pbx.example.com:5061;transport=tls"),
        ("sip:*@pbx.example.com;*", "sip:desk@pbx.example.com;user=phone;transport=tls"),
        ("sip:*@10.0.0.*:5060", "sip:desk@10.0.0.17:5060"),
        ("sip:*@*:5060", "sip:desk@pbx.example.com:5060"),
        ("sip:*@[2001:db8::*]:5060", "sip:desk@[2001:db8::17]:5060"),
    ],
)
def test_a_route_within_the_pattern_is_allowed(pattern: str, route: str) -> None:
    assert route_allowed(route, ["sip:none@none.example", pattern])


@pytest.mark.parametrize(
    ("pattern", "route"),
    [
        # another scheme, host, user or port
        ("sip:*@127.0.0.1*", "sips:desk@127.0.0.1"),
        ("sip:*@127.0.0.1*", "tel:+15550199"),
        ("sip:*@127.0.0.1*", "sip:desk@192.0.2.1"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.11"),
        ("sip:*@127.0.0.1*", "sip:127.0.0.1"),
        ("sip:+1555*@pbx.example.com", "sip:+16660199@pbx.example.com"),
        ("sip:*@pbx.example.com", "sip:desk@pbx.example.com:5080"),
        ("tel:+1555*", "tel:+1666"),
        # a host that only begins or ends like the allowed one
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1.evil.example"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1-evil.example"),
        ("sip:*@pbx.example.com", "sip:desk@evilpbx.example.com"),
        ("sip:*@*.example.com", "sip:desk@evilexample.com"),
        ("sip:*@10.0.0.*", "sip:desk@10.0.0.1.evil.example"),
        # the allowed host where it means nothing
        ("sip:*@127.0.0.1*", "sip:127.0.0.1@evil.example"),
        ("sip:*@127.0.0.1*", "sip:x@evil.example;y=@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x@evil.example@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x@evil.example:5060@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x%40evil.example"),
        ("sip:*@*.example.com", "sip:x@evil.example;y=.example.com"),
        ("sip:*@*.example.com", "sip:x@evil.example;a=b;.example.com"),
        ("sip:*@*.example.com;transport=tls", "sip:x@evil.example;y=.example.com;transport=tls"),
        ("sip:*@*.example.com;*", "sip:x@evil.example;y=.example.com;z"),
        ("sip:*@*;transport=tls", "sip:x@pbx.example.com;a=b;transport=tls"),
        # a host that only begins like the allowed one, where the pattern has a port or parameters
        ("sip:*@10.0.0.*:5060", "sip:x@10.0.0.1.evil.example:5060"),
        ("sip:*@127.0.0.1*:5060", "sip:x@127.0.0.1.evil.example:5060"),
        ("sip:*@127.0.0.1*;transport=tls", "sip:x@127.0.0.11;transport=tls"),
        ("sip:*@pbx.example.com*;transport=tls", "sip:x@pbx.example.com.evil.example;transport=tls"),
        # the address is another's after all (RFC 3261, 19.1.1: maddr overrides the host)
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;maddr=evil.example"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1:5060;transport=udp;MADDR=192.0.2.1"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;maddr"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;m%61ddr=evil.example"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;ttl=5"),
        # not the request that is meant (RFC 3261, 19.1.1)
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;method=BYE"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;transport=udp;Method=REGISTER"),
        # what one parser reads in another way than the next
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1:5080.evil.example"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1:5080:5090"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1:"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1:999999"),
        ("sip:*@127.0.0.1*", "sip:desk@127.0.0.1;;lr"),
        ("sip:*@127.0.0.1*", "sip:desk:5060@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:evil.example:5060@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:evil.example#@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:evil.example/@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:evil.example\\@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip://evil.example@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x%40evil.example%3B@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x%0d%0aX-Evil:%201@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x%00@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:x;phone-context=evil.example@127.0.0.1"),
        ("sip:*@127.0.0.1*", "sip:desk@0x7f.1"),
        ("sip:*@127.0.0.1*", "sip:desk@127.1"),
        ("sip:*@127.0.0.1*", "sip:desk@2130706433"),
        ("sip:*@127.0.0.1*", "sip:desk@[::ffff:127.0.0.1]"),
        ("sip:*@[2001:db8::1]*", "sip:desk@[2001:db8::1].evil.example"),
        ("sip:*@[2001:db8::1]*", "sip:desk@[2001:db8::1%25eth0]"),
        ("sip:*", "tel:+1555"),
        ("tel:+1555*", "tel:+1555@evil.example"),
        ("tel:+1555*", "tel:+1555;method=BYE"),
        ("tel:+1555*", "tel:+1555,19005550000"),
        # another number, carrier or trunk than that of the number
        ("tel:+1555*", "tel:+15550199;rn=19005550000"),
        ("tel:1555*", "tel:15550199;ext=7;Phone-Context=evil.example"),
        ("tel:*", "tel:+15550199;cic=0288"),
        ("sip:*@127.0.0.1*", "sip:+15550199@127.0.0.1;tgrp=premium;trunk-context=evil.example"),
        # letters that only look like those allowed, or become them in lower case
        ("sip:*@bank.example*", "sip:desk@ban\u212a.example"),
        ("sip:*@127.0.0.1*", "sip:desk@127\u30020\u30020\u30021"),
        ("sip:*@127.0.0.1*", "sip:desk@\uff11\uff12\uff17.0.0.1"),
        ("sip:*@pbx.example*", "sip:desk@p\u0432x.example"),
        ("sip:*@127.0.0.1*", "s\u0131p:desk@127.0.0.1"),
        # characters that would end the URI or its header
        ("sip:*", "sip:desk@127.0.0.1\t"),
        ("sip:*", "sip:desk@127.0.0.1%0d%0a"),
        ("sip:*", "sip:desk@127.0.0.1&X-Evil=1"),
        ("sip:*", "sip:desk@127.0.0.1>"),
        ("sip:*", "sip:desk@127.0.0.1\r\nX-Evil: 1"),
        ("sip:*", "sip:desk@127.0.0.1\n"),
        ("sip:*", "sip:desk@127.0.0.1 "),
        ("sip:*", " sip:desk@127.0.0.1"),
        ("sip:*", "sip:desk@127.0.0.1,sip:x@evil.example"),
        ("sip:*", "sip:desk@127.0.0.1?X-Evil=1"),
        ("sip:*", '"x" <sip:desk@127.0.0.1>'),
        ("sip:*", "sip:desk\x00@127.0.0.1"),
        ("sip:*", "sip:d\u00e9sk@127.0.0.1"),
        # no route at all
        ("sip:*", ""),
        ("sip:*", "*"),
        ("sip:*", "http://127.0.0.1"),
    ],
)
def test_a_route_outside_the_pattern_is_refused(pattern: str, route: str) -> None:
    assert not route_allowed(route, [pattern])


def test_without_patterns_no_route_is_allowed() -> None:
    assert not route_allowed("sip:desk@127.0.0.1", [])


def test_brackets_in_a_pattern_enclose_an_ipv6_address() -> None:
    pattern = ["sip:*@[2001:db8::1]*"]
    assert route_allowed("sip:desk@[2001:db8::1]:5080", pattern)
    assert not route_allowed("sip:desk@d", pattern)
    assert not route_allowed("sip:desk@[2001:db8::2]", pattern)


def test_matching_takes_no_longer_for_long_routes() -> None:
    for route in (
        "sip:" + "a" * 1000,
        "sip:" + "a" * 900 + "@127.0.0.1",
        "sip:x@127.0.0.1" + ";a=b" * 240,
        "%23" * 340,
    ):
        began = time.monotonic()
        route_allowed(route, ["sip:*a*a*a*@127.0.0.1*"] * 20)
        assert time.monotonic() - began < 1
