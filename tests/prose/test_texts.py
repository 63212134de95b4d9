from __future__ import annotations

from pathlib import Path

import pytest

from tests.prose.check import ROOT, SCOPE, files
from tests.prose.rules import Kind
from tests.prose.texts import texts


def read(folder: Path, name: str, content: str) -> list[tuple[int, Kind, str]]:
    path = folder / name
    path.write_text(content)
    return [(text.line, text.kind, text.words) for text in texts(path)]


def test_comments_and_strings_of_cpp_are_texts(tmp_path: Path) -> None:
    source = (
        '#include "events.hpp"\n'
        "/*\n * The head of the file,\n * in two lines.\n */\n"
        "/** Return a number. */\n"
        "int number(); // the first\n"
        "// A comment\n// in two lines.\n"
        "const char BLANK = ' ', QUOTE = '\"'; // the second\n"
        'fail("a text with \\" in it, "\n     "in two parts", "word");\n'
        'TEST_CASE("a number is found") {}\n'
    )
    assert read(tmp_path, "number.cpp", source) == [
        (2, Kind.COMMENT, "The head of the file, in two lines."),
        (6, Kind.DOCSTRING, "Return a number."),
        (7, Kind.COMMENT, "the first"),
        (8, Kind.COMMENT, "A comment in two lines."),
        (10, Kind.COMMENT, "the second"),
        (11, Kind.ERROR, 'a text with \\" in it, in two parts'),
        (13, Kind.TEST, "a number is found"),
    ]


def test_the_description_and_the_added_lines_of_a_patch_are_texts(tmp_path: Path) -> None:
    patch = (
        "Description: Change a number\n In two lines.\nAuthor: sipbridge\n---\n"
        "--- a/number.c\n+++ b/number.c\n@@ -1,2 +1,2 @@\n"
        " /* old words */\n-/* older words */\n+/* new words */\n"
    )
    assert read(tmp_path, "0001-number.patch", patch) == [
        (1, Kind.COMMENT, "Change a number In two lines."),
        (10, Kind.COMMENT, "new words"),
    ]


@pytest.mark.parametrize("name", ["bridge.yaml", "bridge.service", "Dockerfile"])
def test_comments_after_a_hash_are_texts(tmp_path: Path, name: str) -> None:
    content = "# A comment\n# in two lines.\nkey: value#1  # the value\n"
    assert read(tmp_path, name, content) == [
        (1, Kind.COMMENT, "A comment in two lines."),
        (3, Kind.COMMENT, "the value"),
    ]


def test_a_script_is_read_by_its_first_line(tmp_path: Path) -> None:
    assert read(tmp_path, "python", "#!/usr/bin/env python3\n'''A script.'''\n") == [(2, Kind.DOCSTRING, "A script.")]
    assert read(tmp_path, "shell", '#!/bin/sh\n# A script.\n[ $# -gt 0 ] && echo "${1#-}"\n') == [
        (2, Kind.COMMENT, "A script.")
    ]
    assert read(tmp_path, "data", "A comment.\n") == []


def test_the_scope_covers_the_native_layer_the_configuration_and_the_build() -> None:
    covered = {path.relative_to(ROOT).as_posix() for path in files([ROOT / path for path in SCOPE])}
    native = "sipbridge/sip/native"
    assert covered >= {
        *(f"{native}/dtmf.cpp", f"{native}/dtmf.hpp", f"{native}/config_site.h", f"{native}/pjsua2.i"),
        *(f"{native}/patches/0001-mulaw-two-zeros.patch", "tests/native/framing_test.cpp"),
        *("config/example.yaml", "config/setup", "config/build/builder/recipe.py", ".ci/bare-debian"),
    }
