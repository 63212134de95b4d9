from __future__ import annotations

import subprocess
import sys

GATHER_MILLISECONDS = 500

# In a process of its own, because PJSIP can be opened once per process.
POLL_TWICE = f"""
import time
from sipbridge_pjsip import pjsua2 as pj

pj.setLogLevel(0)
endpoint = pj.Endpoint()
endpoint.libCreate()
config = pj.EpConfig()
config.uaConfig.threadCnt = 0
config.logConfig.level = config.logConfig.consoleLevel = 0
endpoint.libInit(config)
pj.openWaker()
began = time.monotonic()
for _ in range(2):
    pj.wakeSipThread()
    pj.pollEvents(10_000, {GATHER_MILLISECONDS})
    print(time.monotonic() - began)
pj.closeWaker()
endpoint.libDestroy()
"""


def test_a_lone_wake_up_ends_the_poll_at_once_and_the_next_one_waits_for_more() -> None:
    command = [sys.executable, "-c", POLL_TWICE]
    child = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603 (ours)
    lone, both = map(float, child.stdout.split())
    assert lone < GATHER_MILLISECONDS / 1000 <= both < 5
