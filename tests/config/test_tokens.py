from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from sipbridge.config import ApiKey, AuthToken, hash_secret

SECRET = "3tZrWq-a-long-random-text"


class Holder(BaseModel):
    token: AuthToken
    keys: tuple[ApiKey, ...] = ()


def test_plain_text_matches_only_itself() -> None:
    token = AuthToken(SECRET)
    assert token.matches(SECRET)
    assert not token.matches(SECRET + "x")
    assert not token.matches("")


def test_a_hash_matches_its_secret() -> None:
    token = AuthToken(hash_secret(SECRET))
    assert token.matches(SECRET)
    assert not token.matches(SECRET.upper())


def test_a_hash_does_not_match_itself() -> None:
    hashed = hash_secret(SECRET)
    assert not AuthToken(hashed).matches(hashed)


def test_each_hash_has_its_own_salt() -> None:
    assert hash_secret(SECRET) != hash_secret(SECRET)


@pytest.mark.parametrize("candidate", ["\udcff\udc80", "\ud800", "üñ", "x" * 100_000])
def test_any_received_text_is_compared_without_an_error(candidate: str) -> None:
    assert not AuthToken(SECRET).matches(candidate)


def test_the_secret_is_never_shown() -> None:
    holder = Holder.model_validate({"token": SECRET, "keys": [SECRET, hash_secret(SECRET)]})
    shown = [repr(holder), str(holder.token), str(holder.model_dump()), holder.model_dump_json()]
    digest = hash_secret(SECRET).split(":")[2]
    assert all(SECRET not in text and digest not in text for text in shown)


@pytest.mark.parametrize(
    "text", ["", " padded ", "line\nbreak", "ümlaut", "x" * 257, "sha256:zz:zz", "sha256:00:00", "sha256:"]
)
def test_an_invalid_token_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="; ") as caught:
        AuthToken(text)
    assert not text.strip() or text not in str(caught.value)


def test_a_token_that_is_not_text_is_refused() -> None:
    with pytest.raises(ValidationError, match="put it in quotes"):
        Holder.model_validate({"token": 12345})


def test_a_validated_token_validates_again() -> None:
    token = AuthToken(SECRET)
    assert Holder(token=token).token is token


@pytest.mark.parametrize("text", ["", " x", "sha256:00"])
def test_an_invalid_token_gets_no_hash(text: str) -> None:
    with pytest.raises(ValueError, match="; "):
        hash_secret(text)
