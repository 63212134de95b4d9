"""Pictures that the configuration names, read when it is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ValidationInfo

from sipbridge.config.fields import BASE, check_line
from sipbridge.config.file_access import explain_file_error, read_problem

MAX_PICTURE_BYTES = 50_000
# By the first bytes of the file (https://mimesniff.spec.whatwg.org, 6.1). SVG is text, whose root element is found.
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, with its media type."""

    media_type: str
    content: bytes = field(repr=False)


def _read(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    base: Path | None = (info.context or {}).get(BASE)
    path = Path(check_line(value)) if base is None else base / check_line(value)
    if (problem := read_problem(path)) is not None:
        raise ValueError(problem)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({explain_file_error(error)})") from None
    if len(content) > MAX_PICTURE_BYTES:
        raise ValueError(f"names a picture of over {MAX_PICTURE_BYTES:,} bytes; make it smaller")
    media_type = next((kind for start, kind in _SIGNATURES.items() if content.startswith(start)), None)
    if media_type is None and b"<svg" in content[:1000]:
        media_type = "image/svg+xml"
    if media_type is None:
        raise ValueError("names a file that is not a picture; give a PNG, JPEG or SVG file")
    return Picture(media_type, content)


PictureFile = Annotated[Picture, BeforeValidator(_read)]
