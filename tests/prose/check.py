"""Findings of the wording rules in files, and what is exempt from them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.prose.pages import long_lines
from tests.prose.rules import MOST_WORDS, RULES, Kind
from tests.prose.text import Text
from tests.prose.texts import reader, texts

ROOT = Path(__file__).parents[2]
# All that the rules cover: pages, the package with its native layer, the configuration, the build, and the tests.
SCOPE = ("README.md", "CHANGELOG.md", "docs", "sipbridge", "tests", "config", ".ci")
# The rules quote the wording that they forbid, and files of an earlier release stay as they were.
NOT_CHECKED = ("docs/glossary.md", "tests/prose", "tests/system/release_0_1_0")


@dataclass(frozen=True)
class Exemption:
    """A sentence that a rule flags although it is right, with the reason."""

    path: str
    contains: str
    why: str


EXEMPT: tuple[Exemption, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A piece of text that breaks a rule."""

    path: str
    line: int
    kind: Kind
    rule: str
    found: str
    write: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.kind.value}: {self.rule}: “{self.found}” → {self.write}"


def check(paths: Iterable[Path], *, exempt: Iterable[Exemption] = EXEMPT) -> list[Finding]:
    """Return the findings in files and folders, in the order of their lines."""
    exemptions = tuple(exempt)
    paths = tuple(paths)
    found = [
        finding
        for file in files(paths)
        for text in texts(file)
        if not any(exempts(exemption, text) for exemption in exemptions)
        for finding in findings(text)
    ]
    found += [
        Finding(_relative(file), line, Kind.PAGE, "long line", words, "one sentence per line, or at most 100 columns")
        for file in files(paths)
        for line, words in long_lines(file)
    ]
    return sorted(found, key=lambda finding: (finding.path, finding.line))


def findings(text: Text) -> Iterator[Finding]:
    """Yield what breaks a rule in one text."""
    path = _relative(text.path)
    for rule in RULES:
        if text.kind in rule.kinds:
            for match in rule.regex.finditer(text.words):
                context = text.words[max(0, match.start() - 20) : match.end() + 20]
                yield Finding(path, text.line, text.kind, rule.name, f"…{context}…", rule.write)
    if text.kind is Kind.PAGE and not text.table:
        for sentence in text.sentences():
            if (count := len(sentence.split())) > MOST_WORDS:
                words = " ".join(sentence.split()[:6])
                yield Finding(
                    path, text.line, text.kind, "long sentence", f"{words}… ({count} words)", f"at most {MOST_WORDS}"
                )


def files(paths: Iterable[Path]) -> list[Path]:
    """Return the files of the paths that the rules apply to."""
    below = [file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("*")))]
    return [
        file
        for file in below
        if file.is_file() and not _under(_relative(file.resolve()), NOT_CHECKED) and reader(file) is not None
    ]


def clean_files() -> list[Path]:
    """Return the files that must have no finding."""
    return files(ROOT / path for path in SCOPE)


def exempts(exemption: Exemption, text: Text) -> bool:
    """Return True if the exemption is for this text."""
    return exemption.path == _relative(text.path) and exemption.contains in text.words


def _relative(path: Path) -> str:
    return os.path.relpath(path, ROOT)


def _under(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)
