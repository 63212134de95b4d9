"""Write the pages of the documentation site for MkDocs: `python -m tests.docs FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.docs.reference import PAGES, SEE_ALSO
from tests.docs.staging import ROOT, Staging

# Mermaid's script as Mermaid publishes it, in the environment of `make docs` (config/locks/docs.lock).
MERMAID = "lib/python*/site-packages/mermaidx/assets/mermaid.js"


def stage(folder: Path) -> None:
    """Write the pages into a folder, with all that they load."""
    mermaid = next((ROOT / ".venv" / "docs").glob(MERMAID), None)
    if mermaid is None:
        sys.exit("the packages of the site are not installed: run make docs")
    assets = {"assets/mermaid.min.js": mermaid, "assets/site.css": Path(__file__).with_name("site.css")}
    Staging(folder).write(PAGES, SEE_ALSO, assets)


if __name__ == "__main__":
    stage(Path(sys.argv[1]))
