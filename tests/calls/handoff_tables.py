"""The tables of docs/handoff.md, made from the values in code. `python -m tests.calls.handoff_tables` writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.calls.handoff_rows.cells import TIMES
from tests.calls.handoff_rows.handoffs import SIGNALS, STARTS, TRANSFERS
from tests.calls.handoff_rows.responses import RESPONSES
from tests.calls.handoff_rows.results import CALL_ENDINGS, FINAL_STATES, RECOVERIES

PAGE = Path(__file__).parents[2] / "docs" / "handoff.md"
# A table is between `<!-- table: NAME -->` and `<!-- end of table -->`.
_MARKED = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


class Row(Protocol):
    """A row of a table."""

    def cells(self) -> list[str]:
        """Return the cells of the row."""


class Table(NamedTuple):
    """A table of the page."""

    head: Sequence[str]
    rows: Sequence[Row]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        lines = [self.head, *(row.cells() for row in self.rows)]
        head, *body = [f"| {' | '.join(cells)} |\n" for cells in lines]
        return f"{head}{'|---' * len(self.head)}|\n{''.join(body)}"


TABLES: Mapping[str, Table] = {
    "responses": Table(("response", "`reason`", "cause", "what to do"), RESPONSES),
    "starts": Table(("`requested_by`", "when", "`reason` of the handoff, unless given"), STARTS),
    "signals": Table(("`signal`", "meaning", "then"), SIGNALS),
    "transfers": Table(("`transfer`", "what happened", "result", "did the destination take the caller?"), TRANSFERS),
    "final_states": Table(
        ("`handoff_state`", "`confirmed`", "when", f"`result` {TIMES} `reason` of call and handoff"), FINAL_STATES
    ),
    "endings": Table((f"`result` {TIMES} `reason`", "`ended_by`", "when"), CALL_ENDINGS),
    "recoveries": Table(
        ("`reason` in `call_recovered` and `sipbridge_calls_recovered_total`", "when", "Signal"), RECOVERIES
    ),
}


def write_tables(page: str) -> str:
    """Return the page with its tables as the code has them."""
    return _MARKED.sub(lambda table: f"{table[1]}\n{TABLES[table[2]].markdown()}\n{table[3]}", page)


def table_names(page: str) -> list[str]:
    """Return the names of the tables that the page marks."""
    return [table[1] for table in _MARKED.findall(page)]


if __name__ == "__main__":
    PAGE.write_text(write_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
