"""The source files that pages link to, as pages of the site: the site works without a network, and without a clone."""

from __future__ import annotations

from pathlib import Path

_LANGUAGES = {
    ".py": "python",
    ".cpp": "cpp",
    ".hpp": "cpp",
    ".yaml": "yaml",
    ".toml": "toml",
    ".lua": "lua",
    ".xml": "xml",
    ".json": "json",
}
_HEAD = "---\nsearch:\n  exclude: true\n---\n\n"


def source_page(root: Path, path: str) -> str:
    """Return the page of a file, or of a folder with the names in it. Raises `FileNotFoundError`."""
    source = root / path
    if source.is_dir():
        names = sorted(f"{each.name}{'/' if each.is_dir() else ''}" for each in source.iterdir())
        shown = [f"- `{name}`" for name in names if not name.startswith(("__pycache__", "."))]
        return f"{_HEAD}# {path}/\n\nThis folder of the repository has:\n\n" + "\n".join(shown) + "\n"
    text = source.read_text(encoding="utf-8").rstrip("\n")
    language = _LANGUAGES.get(source.suffix, "text")
    return f"{_HEAD}# {path}\n\n``````{language}\n{text}\n``````\n"
