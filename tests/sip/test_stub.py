"""The stub that mypy reads instead of the module that SWIG makes: its names are those of the module."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import sipbridge_pjsip.pjsua2 as module

ROOT = Path(__file__).parent.parent.parent


def _constants(body: list[ast.stmt]) -> list[str]:
    return [node.target.id for node in body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)]


STUB = ast.parse((ROOT / "sipbridge/sip/native/stubs/sipbridge_pjsip/pjsua2.pyi").read_text())
CLASSES = [node for node in STUB.body if isinstance(node, ast.ClassDef)]
FUNCTIONS = [node for node in STUB.body if isinstance(node, ast.FunctionDef)]
CONSTANTS = _constants(STUB.body)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda node: node.name)
def test_a_function_has_the_parameters_of_the_stub(function: ast.FunctionDef) -> None:
    code = getattr(module, function.name).__code__
    parameters = [argument.arg for argument in function.args.args]
    assert list(code.co_varnames[: code.co_argcount]) == parameters


@pytest.mark.parametrize("stub", CLASSES, ids=lambda node: node.name)
def test_a_class_has_the_members_of_the_stub(stub: ast.ClassDef) -> None:
    members = {node.name for node in stub.body if isinstance(node, ast.FunctionDef)} | set(_constants(stub.body))
    assert members <= set(dir(getattr(module, stub.name)))


@pytest.mark.parametrize("name", CONSTANTS)
def test_a_constant_is_a_number(name: str) -> None:
    assert isinstance(getattr(module, name), int)


def test_every_name_that_sipbridge_uses_is_in_the_stub() -> None:
    known = {node.name for node in CLASSES} | {node.name for node in FUNCTIONS} | set(CONSTANTS)
    used = {
        node.attr
        for path in (ROOT / "sipbridge" / "sip").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pj"
    }
    assert used
    assert used <= known
