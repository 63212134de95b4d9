"""Names that users depend on stay: configuration keys, HTTP operations, metrics, command line options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipbridge import cli
from sipbridge.config import Config
from sipbridge.config.fields import Section
from sipbridge.telemetry import Metrics
from sipbridge.web.app import ADMIN_OPERATIONS, OPERATIONS

FIXED = Path(__file__).with_name("fixed_names.txt")


def _keys(section: type[Section], path: str = "") -> Iterator[str]:
    """Every key of a section and of those in it, with `*` for a name that the operator chooses."""
    for name, field in section.model_fields.items():
        yield f"{path}{name}"
        found = re.findall(r"[\w.]+", str(field.annotation))
        several = "Mapping" in str(field.annotation) or "dict[" in str(field.annotation)
        for each in {word.rpartition(".")[2] for word in found}:
            inner = _SECTIONS.get(each)
            if inner is not None:
                yield from _keys(inner, f"{path}{name}.{'*.' if several else ''}")


def _sections() -> dict[str, type[Section]]:
    from sipbridge.config import agents, chat, chat_channels, handoff, models, projects  # noqa: PLC0415 (only their classes are looked through)

    return {
        name: found
        for module in (agents, chat, chat_channels, handoff, models, projects)
        for name, found in vars(module).items()
        if inspect.isclass(found) and issubclass(found, Section)
    }


_SECTIONS = _sections()


def _options() -> Iterator[str]:
    for name, command in cli.cli.commands.items():
        for parameter in command.params:
            spelled = parameter.opts if isinstance(parameter, click.Option) else [str(parameter.name).upper()]
            yield f"sipbridge {name} {' '.join(sorted(spelled))}"


def names() -> list[str]:
    page = Metrics(pjsip_version="2.17").page().decode()
    return sorted(
        {
            *(f"key {key}" for key in _keys(Config)),
            *(f"http {operation.method} {operation.path}" for operation in (*OPERATIONS, *ADMIN_OPERATIONS)),
            *(f"metric {family.name} {family.type}" for family in text_string_to_metric_families(page)),
            *(f"command {option}" for option in _options()),
        }
    )


@pytest.mark.parametrize("name", FIXED.read_text(encoding="utf-8").splitlines())
def test_a_name_that_users_depend_on_exists(name: str) -> None:
    assert name in names()
