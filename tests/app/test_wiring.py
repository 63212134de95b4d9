from __future__ import annotations

import subprocess
import sys


def test_a_bridge_with_sqlite_does_not_load_the_client_of_redis() -> None:
    """It takes 7 MB."""
    loaded = "import sys, sipbridge.app.service; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)  # noqa: S603 (our own)
    assert done.stdout == "False\n"
