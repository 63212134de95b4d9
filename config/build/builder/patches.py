"""The patches of PJSIP's own source, which change what has no setting."""

# ruff: noqa: S603  (the tools of this machine, found as its user would)
import subprocess
from pathlib import Path

from .progress import StepFailed


def apply(patch: Path, tree: Path) -> None:
    """Apply a patch to the source tree. Lines may have moved, but every line of its context must match.

    Raises:
        StepFailed: the patch was made for another version of PJSIP.
    """
    argv = ["patch", "--strip=1", "--fuzz=0", "--batch", "--forward", "--no-backup-if-mismatch", f"--input={patch}"]
    run = subprocess.run(argv, cwd=tree, capture_output=True, text=True, check=False)
    if run.returncode:
        raise StepFailed(f"{patch.name} does not apply to this PJSIP:\n{(run.stdout + run.stderr).strip()}")
