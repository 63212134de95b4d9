"""The comments of files in which `#` begins one: YAML, shell scripts, units of systemd, Dockerfiles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.prose.rules import Kind
from tests.prose.text import Text, plain

COMMENT = re.compile(r"(?:^|\s)#(?!!)\s*(?P<words>.*)")


def hash_comments(path: Path) -> Iterator[Text]:
    """Return the comments of a file; those alone on consecutive lines are one text."""
    block: list[str] = []
    begins = 0
    for number, line in enumerate([*path.read_text(encoding="utf-8").splitlines(), ""], 1):
        found = COMMENT.search(line)
        alone = found is not None and not line[: found.start()].strip()
        if block and not alone:
            yield Text(path, begins, Kind.COMMENT, plain(" ".join(block)))
            block = []
        if found and alone:
            begins = begins if block else number
            block.append(found["words"])
        elif found:
            yield Text(path, number, Kind.COMMENT, plain(found["words"]))
