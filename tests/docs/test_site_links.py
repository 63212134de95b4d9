"""The check of the built site finds what is broken in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.site_links import broken_links


@pytest.mark.parametrize(
    ("html", "problem"),
    [
        ('<a href="b.html#there">b</a>', ""),
        ('<a href="#here">b</a><p id="here">', ""),
        ('<a href="https://example.com/">b</a>', ""),
        ('<img src="data:image/png;base64,">', ""),
        ('<a href="c.html">c</a>', "a.html: c.html: no such file"),
        ('<a href="b.html#gone">b</a>', "a.html: b.html#gone: no such anchor"),
        ('<a href="#gone">b</a>', "a.html: #gone: no such anchor"),
        (
            '<script src="https://example.com/x.js"></script>',
            "a.html: https://example.com/x.js: is loaded from the network",
        ),
        ('<link rel="stylesheet" href="//example.com/x">', "a.html: //example.com/x: is loaded from the network"),
    ],
)
def test_a_link_without_a_target_is_found(tmp_path: Path, html: str, problem: str) -> None:
    (tmp_path / "a.html").write_text(html)
    (tmp_path / "b.html").write_text('<h2 id="there">There</h2>')
    assert list(broken_links(tmp_path)) == [problem] * bool(problem)
