from __future__ import annotations

from pathlib import Path

import pytest

from sipbridge.config import ProjectKey, VoiceProjectConfig

from .files import client, config_problems, dfo, load, project, tree, with_channels, with_chat

CHAT = {"channels": {"web": dfo()}}


def test_all_projects_are_in_the_order_of_the_file_with_their_key_path(tmp_path: Path) -> None:
    zeta = client(pseudo_numbers=["2"], projects={"b": project(auth_token="one"), "a": project(auth_token="two")})
    config = load(tmp_path, tree(clients={"zeta": zeta, "acme": client()}))
    found = list(config.all_projects())
    assert [key for key, _ in found][:2] == [ProjectKey("zeta", "b"), ProjectKey("zeta", "a")]
    assert [key.client for key, _ in found] == ["zeta", "zeta", "acme"]
    assert found[0][0].path == ("clients", "zeta", "projects", "b")
    assert found[1][1] is config.clients["zeta"].projects["a"]


def test_voice_projects_are_those_with_a_voice_agent(tmp_path: Path) -> None:
    projects = {"bot": {"chat": CHAT}, "billing": project(), "both": project(auth_token="another", chat=CHAT)}
    config = load(tmp_path, tree(clients={"acme": client(projects=projects)}))
    assert [key.project for key, _ in config.all_projects()] == ["bot", "billing", "both"]
    assert [key.project for key, _ in config.voice_projects()] == ["billing", "both"]
    assert list(config.clients["acme"].voice_projects) == ["billing", "both"]
    assert isinstance(config.find_project("acme", "both"), VoiceProjectConfig)
    assert config.find_project("acme", "bot") is not None
    assert config.find_voice_project("acme", "bot") is None
    assert config.find_voice_project("acme", "both") is config.find_project("acme", "both")
    assert [key for key, found in config.all_projects() if found.chat] == [("acme", "bot"), ("acme", "both")]


@pytest.mark.parametrize("numbers", [{}, {"pseudo_numbers": []}])
def test_a_client_without_a_voice_agent_needs_no_number_and_no_token(
    tmp_path: Path, numbers: dict[str, object]
) -> None:
    content = with_chat()
    content["clients"]["acme"] |= numbers
    config = load(tmp_path, content)
    assert config.clients["acme"].pseudo_numbers == ()
    assert config.clients["acme"].projects["bot"].auth_token is None
    assert config.max_chats == 2000


@pytest.mark.parametrize(("numbers", "text"), [(None, "is missing; "), ([], "has too few entries; ")])
def test_a_client_with_a_voice_agent_needs_a_number(tmp_path: Path, numbers: object, text: str) -> None:
    acme = client(projects={"bot": {"chat": CHAT}, "billing": project()}, pseudo_numbers=numbers)
    if numbers is None:
        del acme["pseudo_numbers"]
    (found,) = config_problems(tmp_path, tree(clients={"acme": acme}))
    assert found.startswith(f"clients.acme.pseudo_numbers: {text}")


def test_a_null_token_is_for_the_only_voice_agent_of_a_client(tmp_path: Path) -> None:
    projects = {"billing": project(auth_token=None), "bot": {"chat": CHAT}, "other": {"chat": CHAT, "auth_token": None}}
    load(tmp_path, tree(clients={"acme": client(projects=projects)}))
    projects["sales"] = project()
    (found,) = config_problems(tmp_path, tree(clients={"acme": client(projects=projects)}))
    assert found.startswith("clients.acme.projects.billing.auth_token: is null in a client of several projects; ")


@pytest.mark.parametrize(
    ("settings", "problems"),
    [
        ({}, ["agent: is missing; a project needs ", "auth_token: is missing; ", "handoff: is missing; "]),
        ({"chat": None}, ["agent: is missing; a project needs ", "auth_token: is missing; ", "handoff: is missing; "]),
        ({"chat": CHAT, "agent": {"type": "prompt"}}, ["auth_token: is missing; ", "handoff: is missing; "]),
        ({"chat": CHAT, "handoff": project()["handoff"], "auth_token": "token-of-billing"}, ["agent: is missing; "]),
        ({"chat": CHAT, "max_call_seconds": 5}, ["max_call_seconds: has no effect without a voice agent; "]),
        ({"chat": CHAT, "max_chats": 5}, ["max_chats: is an unknown key; "]),
        ({"chat": {}}, ["chat.channels: is missing; "]),
    ],
)
def test_a_project_has_a_voice_agent_with_all_it_needs_or_a_chat_section(
    tmp_path: Path, settings: dict[str, object], problems: list[str]
) -> None:
    found = config_problems(tmp_path, tree(clients={"acme": client(projects={"it": settings})}))
    assert len(found) == len(problems)
    for problem, start in zip(found, problems, strict=True):
        assert problem.startswith(f"clients.acme.projects.it.{start}")


def test_templates_are_those_of_calls_and_of_chats(tmp_path: Path) -> None:
    chat = with_channels(web=dfo(custom_fields={"a": "{chat_id}"}))["clients"]["acme"]["projects"]["bot"]["chat"]
    handoff = {**project()["handoff"], "signal": {"p1": "{call_id}"}}
    content = tree(
        clients={"acme": client(projects={"both": project(handoff=handoff, chat=chat), "bot": {"chat": chat}})}
    )
    both, bot = (found for _, found in load(tmp_path, content).all_projects())
    assert [template.text for template in both.templates] == ["{call_id}", "{chat_id}"]
    assert [template.text for template in bot.templates] == ["{chat_id}"]
