"""The check that the code has each series, label and value that a query names."""

from __future__ import annotations

from functools import cache

from .catalogue import known_series
from .promql import names_of
from .rules import RECORDS, ROOT


def find_unknown_names(query: str) -> set[str]:
    """Return the series, labels and values in a query that the code does not have."""
    names = names_of(query)
    series = known_series() | _recorded_series()
    unknown = {each.name for each in names.selectors} - series.keys()
    known = [each for each in names.selectors if each.name in series]
    for selector in known:
        unknown |= selector.matchers.keys() - series[selector.name]
        unknown |= {word for value in selector.matchers.values() for word in value.split("|") if not _is_known(word)}
    labels = frozenset[str]().union(*(series[selector.name] for selector in known))
    return unknown | (names.grouping - labels)


def _is_known(value: str) -> bool:
    """Return True if a value is a word that the code writes, or not a word at all."""
    return not value.isidentifier() or f'"{value}"' in _sources()


@cache
def _sources() -> str:
    # `sipbridge` is the job, and the others are Prometheus's own words.
    package = (path.read_text(encoding="utf-8") for path in (ROOT / "sipbridge").rglob("*.py"))
    return "".join(package) + '"sipbridge" "firing"'


@cache
def _recorded_series() -> dict[str, frozenset[str]]:
    """Return the names of the recorded series with their labels: those that they are aggregated by."""
    return {name: names_of(rule["expr"]).grouping - {"le"} for name, rule in RECORDS.items()}
