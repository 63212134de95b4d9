"""Debian's Prometheus, which scrapes bridges with the configuration that operators get, only more often."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from tests.harness.ports import free_port
from tests.harness.web.http import fetch

from .program import Program, ProgramError

CONFIG = Path(__file__).resolve().parents[3] / "config" / "deploy" / "prometheus" / "prometheus.yaml"
INTERVAL = "1s"
_ATTEMPTS = 5

Sample = dict[str, Any]


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, expression: str) -> list[Sample]:
        """Return the samples of a query at this moment. Raises `ValueError` if it is refused."""
        found: dict[str, Any] = self._get("query", query=expression)
        return list(found["result"])

    def total(self, expression: str) -> float:
        """Return the sum of the samples of a query."""
        return sum(float(sample["value"][1]) for sample in self.query(expression))

    def rules(self) -> list[dict[str, Any]]:
        """Return its rules, each with its health and its last error."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 (JSON)
        answer = fetch(f"{self.url}/api/v1/{path}?{urlencode(parameters)}").json()
        if answer["status"] != "success":
            raise ValueError(f"{parameters}: {answer['error']}")
        return answer["data"]


@contextmanager
def prometheus(folder: Path, bridges: Sequence[str]) -> Iterator[Prometheus]:
    """Run it on a free port; `bridges` are the URLs of the bridges that it scrapes."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    config["global"] = dict.fromkeys(config["global"], INTERVAL)
    config["rule_files"] = [str(CONFIG.with_name(name)) for name in config["rule_files"]]
    (job,) = config["scrape_configs"]
    job["static_configs"] = [{"targets": [urlsplit(url).netloc for url in bridges]}]
    file = folder / "prometheus.yaml"
    file.write_text(yaml.safe_dump(config))
    program, port = _start(folder, file)
    with program:
        yield Prometheus(f"http://127.0.0.1:{port}")


def _start(folder: Path, config: Path) -> tuple[Program, int]:
    """Start it; on another port if another program took the one that was free."""
    for _ in range(_ATTEMPTS):
        port = free_port()
        options = (f"--config.file={config}", f"--storage.tsdb.path={folder}", f"--web.listen-address=127.0.0.1:{port}")
        program = Program(["prometheus", *options], folder / "prometheus.log")
        try:
            program.logged("Server is ready to receive web requests.")
        except TimeoutError:
            if program.is_running:
                program.kill()
                raise
        else:
            return program, port
    raise ProgramError("Prometheus found no free port")
