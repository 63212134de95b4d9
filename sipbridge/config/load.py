"""The loader: from the file to the configuration, or to every problem of the file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from sipbridge.config.certificates import authority_problems, certificate_problems
from sipbridge.config.crosschecks import cross_check, shared_secrets, short_secrets
from sipbridge.config.document import Document, read_document
from sipbridge.config.explain import explain
from sipbridge.config.fields import BASE
from sipbridge.config.models import REMARKS, Config, Remarks
from sipbridge.config.problems import KeyPath, Problem, dotted
from sipbridge.config.source import Resolved, resolve
from sipbridge.errors import ConfigError


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check the configuration file.

    Raises `ConfigError` with every problem, one line each: `FILE:LINE: key.path: what is wrong; what would be right`.
    No line shows a value that could be a secret.
    """
    document = read_document(path)
    base = path.absolute().parent
    written = document.tree
    if not isinstance(written, dict):
        raise ConfigError([Problem((), "is not a mapping; write at least the key clients").line(path)])
    # Added if it is missing: its default is a path, which is relative to this file like any other.
    written.setdefault("store", {})
    resolved = resolve(written, base, environ)
    problems = [*document.repeated, *resolved.problems, *cross_check(resolved.tree)]
    remarks = Remarks(
        tuple(problem.without_file() for problem in _remarks(document, resolved)),
        {dotted(key): line for key, line in document.lines.items()},
    )
    try:
        config = Config.model_validate(resolved.tree, context={BASE: base, REMARKS: remarks})
    except ValidationError as error:
        missing = {problem.path for problem in resolved.problems}
        problems += [problem for problem in explain(error) if not _lies_at(problem, missing)]
    else:
        problems += [*certificate_problems(config.sip.tls), *authority_problems(config)]
        if not problems:
            return config
    explained = {_explained(problem, resolved) for problem in problems}
    raise ConfigError([problem.line(path, document.line_of(problem.path)) for problem in sorted(explained, key=_place)])


def _remarks(document: Document, resolved: Resolved) -> Iterator[Problem]:
    """Find text that is valid YAML but probably not intended. The values alone do not show it."""
    for path in document.cut_short:
        yield Problem(path, "ends where a comment begins; put the value in quotes if the # is part of it")
    for path in resolved.unbraced:
        yield Problem(path, "holds a $NAME without braces, which is not replaced; write ${NAME} for a variable")
    yield from short_secrets(resolved.tree)
    yield from shared_secrets(resolved.tree)


def _explained(problem: Problem, resolved: Resolved) -> Problem:
    """Name the variable or file that an empty value came from, since that is what has to change."""
    # A text may stand for a list of one, whose entry then has the problem.
    for path in (problem.path, problem.path[:-1]):
        if origin := resolved.empty.get(path):
            return Problem(problem.path, f"{origin} is empty; give it a value")
        if name := resolved.empty_variables.get(path):
            return Problem(problem.path, f"{problem.text} (the environment variable {name} is empty)")
    return problem


def _lies_at(problem: Problem, paths: Iterable[KeyPath]) -> bool:
    return any(problem.path[: len(path)] == path for path in paths)


def _place(problem: Problem) -> list[str]:
    return [str(step) for step in problem.path]
