"""Check the wording of documents, docstrings, comments, messages and test names (docs/glossary.md).

python -m tests.prose                     # all that is clean already; `make lint` runs this
python -m tests.prose sipbridge/calls     # some files or folders
python -m tests.prose --counts            # the findings per package
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.prose.check import ROOT, SCOPE, Finding, check, clean_files


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.prose", description="Check wording (docs/glossary.md).")
    parser.add_argument("paths", nargs="*", type=Path, help="files and folders; default: all that must be clean")
    parser.add_argument("--counts", action="store_true", help="print the number of findings per package only")
    options = parser.parse_args()
    if options.counts:
        _print_counts(check(options.paths or [ROOT / path for path in SCOPE]))
        return 0
    found = check(options.paths or clean_files())
    for finding in found:
        print(finding)
    if found:
        print(f"{len(found)} findings; the wording rules are in docs/glossary.md", file=sys.stderr)
    return 1 if found else 0


def _print_counts(found: list[Finding]) -> None:
    counts = Counter("/".join(finding.path.split("/")[:2]) for finding in found)
    for package, count in sorted(counts.items()):
        print(f"{count:6}  {package}")
    print(f"{len(found):6}  in all")


if __name__ == "__main__":
    sys.exit(main())
