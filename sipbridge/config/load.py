"""From the file to the configuration, or to everything that is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import ValidationError

from sipbridge.config.certificates import certificate_problems
from sipbridge.config.crosschecks import cross_check
from sipbridge.config.explain import explain
from sipbridge.config.fields import BASE
from sipbridge.config.models import Config
from sipbridge.config.problems import Problem
from sipbridge.config.source import read_tree, resolve
from sipbridge.errors import ConfigError


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read and check the configuration file.

    Raises `ConfigError` with every fault at once, one line each: `FILE: key.path: what is wrong; what would be right`.
    No line shows a value that could be a secret.
    """
    base = path.absolute().parent
    written, repeated = read_tree(path)
    if not isinstance(written, dict):
        raise ConfigError([Problem((), "is no mapping; write at least the key clients").line(path)])
    # Read even where it is left out: its default is a path, which is relative to this file like any other.
    written.setdefault("store", {})
    tree, unresolved = resolve(written, base, environ)
    problems = [*repeated, *unresolved, *cross_check(tree)]
    try:
        config = Config.model_validate(tree, context={BASE: base})
    except ValidationError as error:
        missing = {problem.path for problem in unresolved}
        problems += [problem for problem in explain(error) if not _lies_at(problem, missing)]
    else:
        problems += certificate_problems(config.sip.tls)
        if not problems:
            return config
    raise ConfigError([problem.line(path) for problem in sorted(set(problems), key=_place)])


def _lies_at(problem: Problem, paths: Iterable[tuple[object, ...]]) -> bool:
    return any(problem.path[: len(path)] == path for path in paths)


def _place(problem: Problem) -> list[str]:
    return [str(step) for step in problem.path]
