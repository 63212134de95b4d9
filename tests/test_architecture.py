"""The import contracts in pyproject.toml: the package keeps them, and they find an import that breaks them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent


def _lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts of the package in a folder, which must be the working directory of the command."""
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 (our own tool)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "sipbridge", tmp_path / "sipbridge", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_no_import_breaks_a_contract() -> None:
    done = _lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("package", "imported"),
    [
        ("calls/call.py", "sipbridge.web"),
        ("calls/call.py", "sipbridge.wav"),
        ("handoffs/destinations.py", "sipbridge.calls.model"),
        ("telephony/credentials.py", "sipbridge.config"),
        ("cxone/tokens.py", "sipbridge.store"),
        ("http/client.py", "sipbridge.cxone"),
        ("agents/prompt.py", "sipbridge.sip.leg"),
        ("agents/prompt.py", "sipbridge.simulators.echo_agent"),
        ("config/models.py", "sipbridge.calls.model"),
        ("simulators/cxone/server.py", "sipbridge.config"),
        ("simulators/echo_agent.py", "sipbridge.errors"),
        ("web/app.py", "sipbridge_pjsip"),
        ("errors.py", "sipbridge.aio"),
    ],
)
def test_an_import_that_breaks_a_contract_is_found(copy: Path, package: str, imported: str) -> None:
    file = copy / "sipbridge" / package
    file.write_text(f"{file.read_text(encoding='utf-8')}\n\nimport {imported}\n", encoding="utf-8")
    done = _lint(copy)
    assert done.returncode == 1, done.stdout
    assert imported.split(".")[1 if "." in imported else 0] in done.stdout.partition("Broken contracts")[2]


def test_a_new_package_needs_a_layer(copy: Path) -> None:
    (copy / "sipbridge" / "annexe.py").write_text('"""A package without a layer."""\n', encoding="utf-8")
    done = _lint(copy)
    assert done.returncode == 1, done.stdout
    assert "annexe" in done.stdout


def test_the_layers_are_drawn_once_as_the_contract_lists_them() -> None:
    pages = {path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
    drawings = [page for page, text in pages.items() if "\n__main__\n" in text]
    assert drawings == [ROOT / "docs" / "architecture.md"]
    drawing = pages[drawings[0]].partition("## Layers")[2].partition("```\n")[2].partition("```")[0]
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (each for each in config["tool"]["importlinter"]["contracts"] if each["type"] == "layers")
    assert drawing.replace("│", "|").splitlines() == contract["layers"]


def test_the_list_of_packages_has_each_of_them() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    listing = page.partition("## Packages")[2].partition("```\n")[2].partition("```")[0]
    entries = {path.name for path in (ROOT / "sipbridge").glob("[a-z]*") if path.name != "py.typed"}
    assert [name for name in entries if name not in listing] == []


def test_nothing_but_the_sip_adapter_needs_pjsua2_to_be_imported() -> None:
    packages = sorted(path.stem for path in (ROOT / "sipbridge").glob("[a-z]*") if path.stem not in ("app", "py"))
    program = f"""
import importlib, sys
sys.modules["sipbridge_pjsip"] = None
for package in {packages!r}:
    importlib.import_module("sipbridge." + package)
importlib.import_module("sipbridge.sip.messages")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 (as above)
    assert done.returncode == 0, done.stderr


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Imports for type checkers count too: what needs a circle for its types is not separate."""
    graph = grimp.build_graph("sipbridge", cache_dir=None)
    circles = [
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
        if graph.chain_exists(importer=imported, imported=module)
    ]
    assert circles == []
