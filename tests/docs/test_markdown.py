"""The pages mean to Python-Markdown what they mean to GitHub."""

from __future__ import annotations

import pytest

from tests.docs.markdown import for_python_markdown, replace_links

NESTED = """\
1. **Write** it:

   ```console
   $ make
     1. not an item
   ```

   - one
     goes on
     - two
2. Next
"""
NESTED_FOR_THE_SITE = """\
1. **Write** it:

    ```console
    $ make
      1. not an item
    ```

    - one
        goes on
        - two
2. Next
"""


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (NESTED, NESTED_FOR_THE_SITE),
        ("Some:\n- one\n- two\n", "Some:\n\n- one\n- two\n"),
        ("- one\n- two\n\nText\n", "- one\n- two\n\nText\n"),
        ("```\n- one\n   - two\n```\n", "```\n- one\n   - two\n```\n"),
        ("| `a\\|b` | c |\n", "| `a|b` | c |\n"),
        ("`a\\|b`\n", "`a\\|b`\n"),
    ],
    ids=["lists", "after a paragraph", "before a paragraph", "code", "table", "no table"],
)
def test_a_page_is_written_for_the_site(page: str, expected: str) -> None:
    assert for_python_markdown(page) == expected


def test_links_outside_of_code_are_replaced() -> None:
    page = "[a](b.md#c) and `[a](b.md)`\n```\n[a](b.md)\n```\n![d](e.png)"
    assert replace_links(page, str.upper) == "[a](B.MD#C) and `[a](b.md)`\n```\n[a](b.md)\n```\n![d](E.PNG)"
