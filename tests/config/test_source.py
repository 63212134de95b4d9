from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sipbridge.config import load_config
from sipbridge.config.source import select
from sipbridge.errors import ConfigError

from .files import config_problems, load, tree, with_project


def test_a_variable_may_be_anywhere_in_a_text(tmp_path: Path) -> None:
    content = with_project(handoff={"default": "${WHERE}", "destinations": {"care": {"method": "release"}}})
    content["store"] = {"url": "sqlite:///${DIR}/${NAME}.db"}
    config = load(tmp_path, content, {"WHERE": "care", "DIR": "/data", "NAME": "calls"})
    assert config.clients["acme"].voice_projects["billing"].handoff.default == "care"
    assert config.store.sqlite_path == Path("/data/calls.db")


def test_a_variable_may_be_a_number(tmp_path: Path) -> None:
    assert load(tmp_path, tree(sip={"max_calls": "${MAX}"}), {"MAX": "7"}).sip.max_calls == 7


def test_the_value_of_a_variable_is_not_expanded(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from the file")
    environ = {"TOKEN": "file:secret", "KEY": "${TOKEN}"}
    found = load(tmp_path, with_project(auth_token="${TOKEN}", api_keys=["${KEY}"]), environ)
    billing = found.clients["acme"].voice_projects["billing"]
    assert billing.auth_token is not None
    assert billing.auth_token.matches("file:secret")
    assert billing.api_keys[0].matches("${TOKEN}")


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_final_line_break_of_a_file_is_removed(tmp_path: Path, ending: str) -> None:
    (tmp_path / "token").write_bytes(b"token-of-billing" + ending.encode())
    token = load(tmp_path, with_project(auth_token="file:token")).clients["acme"].voice_projects["billing"].auth_token
    assert token is not None
    assert token.matches("token-of-billing")


def test_a_file_is_relative_to_the_configuration_and_may_be_named_by_a_variable(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "token").write_text("token-of-billing\n")
    token = (
        load(tmp_path, with_project(auth_token="file:${DIR}/token"), {"DIR": "secrets"})
        .clients["acme"]
        .voice_projects["billing"]
        .auth_token
    )
    assert token is not None
    assert token.matches("token-of-billing")


def test_every_missing_variable_and_file_names_its_key(tmp_path: Path) -> None:
    content = with_project(
        auth_token="${NOT_SET}", api_keys=["file:missing", "${ALSO_NOT_SET}"], max_call_seconds="${M}"
    )
    key, missing = "clients.acme.projects.billing", tmp_path / "missing"
    assert config_problems(tmp_path, content) == [
        f"{key}.api_keys[0]: the file {missing} cannot be read: No such file or directory; give a readable file",
        f"{key}.api_keys[1]: the environment variable ALSO_NOT_SET is not set; set it",
        f"{key}.auth_token: the environment variable NOT_SET is not set; set it",
        f"{key}.max_call_seconds: the environment variable M is not set; set it",
    ]


def test_a_folder_and_a_binary_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    found = config_problems(tmp_path, with_project(auth_token="file:.", api_keys=["file:bytes"]))
    assert "is not valid UTF-8" in found[0]
    assert "Is a directory" in found[1]


@pytest.mark.parametrize("text", ["${", "${A B}", "${}", "${1A}", "x${A"])
def test_a_malformed_variable_is_refused(tmp_path: Path, text: str) -> None:
    (found,) = config_problems(tmp_path, with_project(auth_token=text), {"A": "a"})
    assert found.startswith("clients.acme.projects.billing.auth_token: has a broken `${`")


def test_a_syntax_error_gives_line_and_column(tmp_path: Path) -> None:
    (found,) = config_problems(tmp_path, "clients:\n  acme: [1, 2\n  other: 3\n")
    assert found.startswith("3:8: is not YAML: expected ',' or ']', but got ':'")


@pytest.mark.parametrize(
    "text",
    [
        "a: *s3cret",
        "a: !s3cret x",
        "a: &x [*x]",
        "a: 1\n---\nb: 2\n",
        "a: 2024-99-99",
        'a: "\x01"',
        "? [a, b]\n: c",
        "a: @s3cret",
        "a: " + "[" * 5000,
    ],
)
def test_invalid_yaml_is_reported_in_one_line_that_shows_no_value(tmp_path: Path, text: str) -> None:
    (found,) = config_problems(tmp_path, text)
    assert "is not YAML" in found
    assert "s3cret" not in found


@pytest.mark.parametrize("text", ["", "- a\n", "text", "# nothing"])
def test_a_file_that_is_not_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    assert config_problems(tmp_path, text) == ["is not a mapping; write at least the key clients"]


def test_a_repeated_key_is_reported_with_both_lines(tmp_path: Path) -> None:
    text = "drain_seconds: 1\ndrain_seconds: 2\nsip: {max_calls: 1, max_calls: 2}\n"
    found = config_problems(tmp_path, text)
    assert "drain_seconds: is in line 1 and in line 2; keep one" in found
    assert "sip.max_calls: is in line 3 and in line 3; keep one" in found
    assert "clients: is missing; it is required" in found


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xfc")
    with pytest.raises(ConfigError, match="byte 3 is not valid UTF-8"):
        load_config(tmp_path / "latin.yaml")


def test_select_finds_values_with_their_paths_and_skips_other_shapes() -> None:
    nested = {"a": {"x": {"n": [1, 2]}, "y": {"n": "text"}, "z": None}}
    assert list(select(nested, "a", ..., "n", ...)) == [(("a", "x", "n", 0), 1), (("a", "x", "n", 1), 2)]
    assert list(select(nested, "b", "c")) == []


@pytest.mark.parametrize(
    "content",
    [with_project(auth_token="${T}"), with_project(api_keys=["${T}"]), tree(http={"pop_link_secret": "${T}"})],
)
def test_an_empty_variable_is_named(tmp_path: Path, content: dict[str, Any]) -> None:
    (found,) = config_problems(tmp_path, content, {"T": ""})
    assert found.endswith(": the environment variable T is empty; give it a value")


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    (found,) = config_problems(tmp_path, with_project(auth_token="file:token"))
    assert found.endswith("auth_token: the file named here is empty; give it a value")


def test_a_problem_has_the_line_of_its_key_or_of_the_one_above(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "store: {}\nclients:\n  acme:\n    pseudo_numbers: [x]\n    projects: {}\n")
    places = {problem.split(": ")[1]: problem.split(": ")[0].rpartition(":")[2] for problem in caught.value.problems}
    assert places == {
        "clients.acme.cxone": "3",  # missing: that of the client
        "clients.acme.projects": "5",
        "clients.acme.pseudo_numbers[0]": "4",
    }


def test_lengths_are_reported_in_characters(tmp_path: Path) -> None:
    (found,) = config_problems(tmp_path, tree(http={"pop_link_secret": "short"}))
    assert found == "http.pop_link_secret: is too short; give at least 16 characters"


def test_an_empty_variable_that_makes_a_text_invalid_is_named(tmp_path: Path) -> None:
    content = tree(http={"public_url": "http://${HOST}:1"})
    (found,) = config_problems(tmp_path, content, {"HOST": ""})
    assert found.startswith("http.public_url: has no valid host; ")
    assert found.endswith(" (the environment variable HOST is empty)")


def test_an_empty_variable_in_the_one_entry_of_a_list_is_named(tmp_path: Path) -> None:
    (found,) = config_problems(tmp_path, with_project(agent={"type": "sip", "uri": "sip:bot@${HOST}"}), {"HOST": ""})
    assert found.startswith("clients.acme.projects.billing.agent.uri[0]: ")
    assert found.endswith(" (the environment variable HOST is empty)")


def test_a_file_whose_path_the_system_rejects_is_refused(tmp_path: Path) -> None:
    found = config_problems(tmp_path, with_project(auth_token="file:" + "a" * 256, api_keys=["file:a\0b"]))
    assert "cannot be read: the path holds a character that no path can have; " in found[0]
    assert "cannot be read: File name too long; " in found[1]
