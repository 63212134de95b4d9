from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sipbridge.config import PopPageConfig
from sipbridge.config.fields import BASE
from sipbridge.config.pictures import MAX_PICTURE_BYTES


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0...", "image/jpeg"),
        (b"<?xml version='1.0'?>\n<svg/>", "image/svg+xml"),
    ],
)
def test_a_picture_is_read_relative_to_the_configuration(tmp_path: Path, content: bytes, media_type: str) -> None:
    (tmp_path / "logo").write_bytes(content)
    logo = PopPageConfig.model_validate({"logo": "logo"}, context={BASE: tmp_path}).logo
    assert logo
    assert (logo.media_type, logo.content) == (media_type, content)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "names no readable file"),
        (b"GIF89a", "is not a picture; give a PNG, JPEG or SVG file"),
        (b"", "is not a picture"),
        (b"<svg>" + b" " * MAX_PICTURE_BYTES, "over 50,000 bytes; make it smaller"),
    ],
)
def test_another_file_is_an_error(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "logo").write_bytes(content)
    with pytest.raises(ValidationError, match=problem):
        PopPageConfig.model_validate({"logo": "logo"}, context={BASE: tmp_path})
