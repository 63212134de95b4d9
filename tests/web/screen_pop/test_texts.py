from __future__ import annotations

from dataclasses import fields

import pytest

from sipbridge.calls.outcomes import HandoffReason
from sipbridge.web.screen_pop.texts import TEXTS, Texts

TRANSLATED = [TEXTS[language] for language in ("de", "fr", "es")]


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_each_language_has_all_words(texts: Texts) -> None:
    assert all(getattr(texts, field.name) for field in fields(texts))
    assert set(texts.reasons) == {reason.value for reason in HandoffReason}
    assert set(texts.roles) == {"caller", "customer", "bot", "agent"}


@pytest.mark.parametrize("texts", TRANSLATED, ids=lambda texts: texts.language)
def test_sentences_are_translated(texts: Texts) -> None:
    english = TEXTS["en"]
    names = [field.name for field in fields(texts) if " " in str(getattr(english, field.name))]
    assert [name for name in names if getattr(texts, name) == getattr(english, name)] == []
