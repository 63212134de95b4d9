from __future__ import annotations

from pathlib import Path

from sipbridge.config import ProjectKey

from .files import client, load, project, tree


def test_all_projects_are_in_the_order_of_the_file_with_their_key_path(tmp_path: Path) -> None:
    zeta = client(pseudo_numbers=["2"], projects={"b": project(auth_token="one"), "a": project(auth_token="two")})
    config = load(tmp_path, tree(clients={"zeta": zeta, "acme": client()}))
    found = list(config.all_projects())
    assert [key for key, _ in found][:2] == [ProjectKey("zeta", "b"), ProjectKey("zeta", "a")]
    assert [key.client for key, _ in found] == ["zeta", "zeta", "acme"]
    assert found[0][0].path == ("clients", "zeta", "projects", "b")
    assert found[1][1] is config.clients["zeta"].projects["a"]
