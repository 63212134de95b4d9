from __future__ import annotations

import base64
import json
import time
import warnings
from datetime import UTC, datetime

import jwt
import pytest

from sipbridge.config import HttpConfig
from sipbridge.web import PopLinks
from sipbridge.web.screen_pop.links import PopTarget
from sipbridge.web.server.errors import InvalidLink
from tests.store.records import make_handoff, make_record
from tests.web.conftest import Bridge
from tests.web.fakes import POP_SECRET

LINKS = PopLinks("https://bridge.example/", POP_SECRET, seconds=60)


def token(url: str) -> str:
    return url.rpartition("/")[2]


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def test_a_link_starts_with_the_public_url_and_names_its_call() -> None:
    url = LINKS.make(make_record())
    assert url.startswith("https://bridge.example/pop/")
    expires_at = jwt.decode(token(url), options={"verify_signature": False})["exp"]
    assert LINKS.verify(token(url)) == PopTarget("acme", "billing", "call-1", expires_at)


def test_an_expired_link_has_its_own_message() -> None:
    url = PopLinks("https://bridge.example", POP_SECRET, seconds=-1).make(make_record())
    with pytest.raises(InvalidLink, match="expired"):
        LINKS.verify(token(url))


def test_a_link_expires_on_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    made = token(LINKS.make(make_record()))
    claims = jwt.decode(made, options={"verify_signature": False})
    assert claims["exp"] == 1060
    with pytest.raises(InvalidLink, match="expired"):
        LINKS.verify(signed(good_claims(exp=int(datetime.now(UTC).timestamp()))))


async def test_a_very_long_link_is_refused(bridge: Bridge) -> None:
    assert (await bridge.get("/pop/" + "x" * 8000, key=None))[0] == 403
    assert (await bridge.get("/pop/" + "x" * 9000, key=None))[0] == 400


def unsigned() -> str:
    claims = {"client": "acme", "project": "billing", "call": "call-1", "exp": 2**40}
    return f"{segment({'alg': 'none', 'typ': 'JWT'})}.{segment(claims)}."


def altered() -> str:
    head, _, signature = token(LINKS.make(make_record())).split(".")
    return f"{head}.{segment({'client': 'acme', 'project': 'billing', 'call': 'call-2', 'exp': 2**40})}.{signature}"


def of_another_secret() -> str:
    return token(PopLinks("https://bridge.example", "another secret of 16 or more", seconds=60).make(make_record()))


def without_end() -> str:
    good = token(LINKS.make(make_record()))
    claims = jwt.decode(good, options={"verify_signature": False})
    del claims["exp"]
    return jwt.encode(claims, "x" * 32, "HS256")


def signed(claims: dict[str, object], algorithm: str = "HS256") -> str:
    """Return a token that is signed with the right key."""
    key: bytes = LINKS.__dict__["_key"]
    with warnings.catch_warnings(action="ignore", category=jwt.warnings.InsecureKeyLengthWarning):
        return jwt.encode(claims, key, algorithm)


def good_claims(**changes: object) -> dict[str, object]:
    return {"client": "acme", "project": "billing", "call": "call-1", "exp": 2**33, **changes}


def of_another_call() -> str:
    """Return a token with the claims of one link and the signature of another."""
    one, other = token(LINKS.make(make_record())), token(LINKS.make(make_record("call-2")))
    return f"{other.rpartition('.')[0]}.{one.rpartition('.')[2]}"


def cut() -> str:
    return token(LINKS.make(make_record()))[:-1]


def nested() -> str:
    return base64.urlsafe_b64encode(b"[" * 4000).decode() + ".e30.e30"


@pytest.mark.parametrize(
    "bad",
    [
        unsigned(),
        altered(),
        of_another_call(),
        of_another_secret(),
        cut(),
        segment({"alg": "HS256"}) + "." + segment(good_claims()) + ".",
        segment({"alg": "hs256"}) + "." + token(LINKS.make(make_record())).partition(".")[2],
        signed(good_claims(), "HS512"),
        signed(good_claims(exp="never")),
        signed(good_claims(exp=None)),
        signed({"exp": 2**33}),
        without_end(),
        nested(),
        "",
        ".",
        "..",
        "a.b.c",
        "é",
        "\x00",
        "x" * 5000,
    ],
)
def test_a_forged_link_is_refused(bad: str) -> None:
    with pytest.raises(InvalidLink, match="link is not valid"):
        LINKS.verify(bad)


def test_links_without_a_secret_are_valid_in_this_process_only() -> None:
    one, other = PopLinks.from_config(HttpConfig()), PopLinks.from_config(HttpConfig())
    made = token(one.make(make_record()))
    assert one.verify(made)
    with pytest.raises(InvalidLink):
        other.verify(made)


async def test_a_link_shows_its_handoff_without_a_key(bridge: Bridge) -> None:
    record = make_record(handoff=make_handoff(data={"order": "A-7"}))
    await bridge.store.put(record)
    path = "/pop/" + token(bridge.pop_links.make(record))
    assert await bridge.get(path, key=None) == await bridge.get("handoff_state?id=call-1")


async def test_a_link_to_a_deleted_record_is_404(bridge: Bridge) -> None:
    assert (await bridge.get("/pop/" + token(bridge.pop_links.make(make_record())), key=None))[0] == 404


async def test_an_invalid_link_is_403_as_json(bridge: Bridge) -> None:
    for bad in (altered(), nested(), "%00", "x"):
        status, body = await bridge.get(f"/pop/{bad}", key=None)
        assert (status, body) == (403, {"error_message": "this link is not valid", "code": "invalid_link"})


async def test_a_screen_pop_may_be_framed_by_the_configured_origins(bridge: Bridge) -> None:
    async with bridge.session.get(f"{bridge.base}/pop/x") as response:
        policy = response.headers["Content-Security-Policy"]
    assert policy.endswith("; frame-ancestors 'self' https://*.nicecxone.com")
