"""The folder that MkDocs reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.staging import DOCS, ROOT, Staging


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    made = {"reference/made.md": lambda: "# Made\n[metrics.md](metrics.md#logs), [d](../sipbridge/dns)\n"}
    Staging(folder).write(made, {"metrics.md": "SEE ALSO"}, {"assets/icon.js": DOCS / "glossary.md"})
    return folder


def text(staged: Path, name: str) -> str:
    return (staged / name).read_text(encoding="utf-8")


def test_every_page_is_in_the_site(staged: Path) -> None:
    for page in DOCS.glob("*.md"):
        assert (staged / page.name).exists()
    assert text(staged, "index.md").startswith("# sipbridge\n")
    assert text(staged, "changelog.md").startswith("# ")
    assert (staged / "assets" / "icon.js").exists()
    assert (staged / "screen-pop.png").read_bytes() == (DOCS / "screen-pop.png").read_bytes()


def test_links_to_pages_lead_to_the_pages_of_the_site(staged: Path) -> None:
    assert "([Screen-pop](screen-pop.md))" in text(staged, "index.md")
    assert "](glossary.md)" in text(staged, "CONTRIBUTING.md")
    assert "](docs/" not in text(staged, "index.md")
    assert "[README.md](index.md#from-a-clone-to-a-service)" in text(staged, "first-steps.md")


def test_links_to_source_files_lead_to_pages_with_them(staged: Path) -> None:
    assert "](source/sipbridge/simulators/echo_agent.py.md)" in text(staged, "agents.md")
    page = text(staged, "source/sipbridge/simulators/echo_agent.py.md")
    assert (ROOT / "sipbridge/simulators/echo_agent.py").read_text(encoding="utf-8").rstrip() in page
    assert "- `waiting.py`\n" in text(staged, "source/tests/harness.md")
    assert (staged / "source/ci/asterisk.md").exists()  # MkDocs leaves hidden folders out


def test_a_page_begins_with_its_line_to_the_reference(staged: Path) -> None:
    assert text(staged, "metrics.md").startswith("# Metrics\n\nSEE ALSO\n\n")


def test_links_of_generated_pages_are_relative_to_their_folder(staged: Path) -> None:
    assert text(staged, "reference/made.md") == "# Made\n[Metrics](../metrics.md#logs), [d](../source/sipbridge/dns.md)"
