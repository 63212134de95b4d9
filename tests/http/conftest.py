from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from sipbridge.dns import Resolver
from sipbridge.http import HttpClient


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    async with HttpClient(Resolver(time.monotonic)) as http:
        yield http
