from __future__ import annotations

import pytest

from sipbridge.cxone.urls import url_of_cxone, usable_url
from sipbridge.errors import CxoneError

NICE = "https://cxone.niceincontact.com"


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://api.example", "https://issuer.example"),
        ("https://api.example:8443/base", "https://issuer.example"),
        ("http://127.0.0.1:9100", "https://issuer.example"),
        ("http://[::1]:9100", "https://issuer.example"),
        ("http://localhost:9100", "https://issuer.example"),
        ("http://api.example", "http://issuer.example"),
    ],
)
def test_valid_urls_are_accepted(url: str, issuer: str) -> None:
    assert usable_url(f"{url}/", "it", issuer=issuer) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        None,
        5,
        "api.example",
        "//api.example",
        "https://",
        "https://[half",
        "https://api.example:port",
        "https://user@api.example",
        "ws://api.example",
        "http://api.example",
        "http://127.0.0.1.example",
        "https://api.example/?to=",
        "https://api.example/#to",
        "https://api.example/a b",
        "https://api.example/\r\nX-Evil: 1",
        "https://api .example",
        "https://-api.example",
        "https://api.example:0",
        "https://b\u00fccher.example",
    ],
)
def test_invalid_urls_are_refused(url: object) -> None:
    with pytest.raises(CxoneError):
        usable_url(url, "it", issuer="https://issuer.example")


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        (NICE, NICE),
        ("https://api-na1.niceincontact.com", NICE),
        ("https://api-c57.nice-incontact.com:8443", NICE),
        ("https://api-na1.niceincontact.com", "https://nicecxone-sov1.eu"),
        ("https://api.nicecxone-sov1.eu", "https://nicecxone-sov1.eu"),
        ("http://127.0.0.1:9200", "http://127.0.0.1:9100"),
    ],
)
def test_secrets_are_sent_to_the_issuer_and_to_nice(url: str, issuer: str) -> None:
    assert url_of_cxone(f"{url}/", "it", issuer=issuer, instead="") == url


@pytest.mark.parametrize(
    ("url", "issuer"),
    [
        ("https://stranger.example", NICE),
        ("https://niceincontact.com.stranger.example", NICE),
        ("https://evil-niceincontact.com", NICE),
        ("http://api-na1.niceincontact.com", NICE),
        ("https://127.0.0.1", NICE),
        ("http://127.0.0.2:9100", "http://127.0.0.1:9100"),
    ],
)
def test_secrets_are_sent_to_no_other_host(url: str, issuer: str) -> None:
    with pytest.raises(CxoneError):
        url_of_cxone(url, "it", issuer=issuer, instead="")
