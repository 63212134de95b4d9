"""The parts of long texts, with and without links."""

from __future__ import annotations

import pytest

from sipbridge.chats.texts import add_links


@pytest.mark.parametrize(
    ("parts", "links", "expected"),
    [
        (["text"], [], ["text"]),
        (["text"], ["l1"], ["text\nl1"]),
        ([""], ["l1", "l2"], ["l1\nl2"]),
        (["first", "text"], ["link1"], ["first", "text\nlink1"]),
        (["text"], ["link-12"], ["text", "link-12"]),
        (["text"], ["l1", "link-1", "l2"], ["text\nl1", "link-1\nl2"]),
        ([""], ["longer than that", "l2"], ["longer than that", "l2"]),
        (["text"], ["longer than that"], ["text", "longer than that"]),
    ],
)
def test_links_follow_the_text_in_parts_of_ten_characters_unless_a_link_is_longer(
    parts: list[str], links: list[str], expected: list[str]
) -> None:
    assert add_links(parts, links, 10) == expected
