"""Chromium without a window, controlled by https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

_POLL_SECONDS = 0.05
_START_SECONDS = 30
# Windows key codes of the keys that do not type a character.
_KEY_CODES = {"Enter": 13, "Tab": 9, "Escape": 27, " ": 32, "ArrowUp": 38, "ArrowDown": 40}
_MODIFIERS = {"Alt": 1, "Control": 2, "Shift": 8}
_FAULTS = ("Runtime.exceptionThrown", "Log.entryAdded")


# What remains of the tests with pages; git ignores it.
SCREENSHOTS = Path(__file__).resolve().parents[3] / "build" / "screenshots"


class Page:
    """A page. `faults` has its uncaught exceptions and the browser's complaints about it."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, http: aiohttp.ClientSession, address: str) -> None:
        self.faults: list[str] = []
        self._socket = socket
        self._http = http
        self._address = address
        self._commands = 0

    @asynccontextmanager
    async def frame(self) -> AsyncIterator[Page]:
        """Control the frame of another site in this page, once it is there."""
        async with asyncio.timeout(_START_SECONDS):
            while not (targets := [each for each in await self._targets() if each["type"] == "iframe"]):  # noqa: ASYNC110 (the list has no event)
                await asyncio.sleep(_POLL_SECONDS)
        async with _controlled(self._http, self._address, targets[0]["webSocketDebuggerUrl"]) as page:
            yield page

    async def _targets(self) -> list[dict[str, str]]:
        async with self._http.get(f"http://{self._address}/json/list") as response:
            found: list[dict[str, str]] = await response.json()
            return found

    async def faulted(self, text: str, seconds: float = 10) -> None:
        """Wait until the browser has complained with this text."""
        async with asyncio.timeout(seconds):
            while not any(text in fault for fault in self.faults):
                await self.run("0")
                await asyncio.sleep(_POLL_SECONDS)

    async def run(self, script: str) -> Any:  # noqa: ANN401 (JSON)
        """Return the value of an expression. Raises `ValueError` if it throws."""
        found = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            raise ValueError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    async def until(self, condition: str, seconds: float = 10) -> None:
        """Wait until an expression is true, also while the page loads. Raises `AssertionError`."""
        holds = f"Boolean((() => {{ try {{ return {condition} }} catch {{}} }})())"
        try:
            async with asyncio.timeout(seconds):
                while not await self.run(holds):  # noqa: ASYNC110 (a page has no event for any condition)
                    await asyncio.sleep(_POLL_SECONDS)
        except TimeoutError:
            await self.screenshot("failed")
            raise AssertionError(f"{condition} did not hold within {seconds:g} s; {self.faults}") from None

    async def press(self, key: str, *modifiers: str) -> None:
        """Send the stroke of a key: a character, Enter, Tab, Escape or an arrow."""
        event: dict[str, Any] = {"key": key, "modifiers": sum(_MODIFIERS[each] for each in modifiers)}
        text = "\r" if key == "Enter" else key if len(key) == 1 else ""
        if key in _KEY_CODES:
            event |= {"code": key, "windowsVirtualKeyCode": _KEY_CODES[key]}
        await self.send("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        await self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text: str) -> None:
        """Send the strokes of a text."""
        for character in text:
            await self.press(character)

    async def prefer(self, scheme: str, *, forced_colours: bool = False) -> None:
        """Prefer the `dark` or `light` colours, or force those of the system."""
        preferred = {"prefers-color-scheme": scheme, "forced-colors": "active" if forced_colours else "none"}
        features = [{"name": name, "value": value} for name, value in preferred.items()]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def hide(self, *, hidden: bool = True) -> None:
        """Let the page believe that its tab is hidden, or shown again."""
        value = json.dumps(hidden)
        await self.run(
            f"Object.defineProperty(document, 'hidden', {{value: {value}, configurable: true}}),"
            " document.dispatchEvent(new Event('visibilitychange'))"
        )

    async def resize(self, width: int, height: int) -> None:
        """Set the size of the window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", **size)

    async def screenshot(self, name: str) -> None:
        """Write a picture of the page to `build/screenshots`."""
        found = await self.send("Page.captureScreenshot", format="png")
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(found["data"]))

    async def send(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 (JSON)
        """Send a command of the protocol and return its result."""
        self._commands += 1
        await self._socket.send_json({"id": self._commands, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("method") in _FAULTS:
                self.faults.append(str(message["params"]))
            if message.get("id") == self._commands:
                if "error" in message:
                    raise ValueError(f"{method}: {message['error']}")
                return message["result"]


@asynccontextmanager
async def opened_page(url: str, folder: Path) -> AsyncIterator[Page]:
    """Open a page in a Chromium of its own, whose profile is in the folder."""
    program = shutil.which("chromium")
    assert program is not None, "Chromium is not installed: run make setup, and read its output"
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",  # tests may run as root
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1100,800",
        "about:blank",
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with aiohttp.ClientSession() as http:
            address = await _address(process)
            async with http.put(f"http://{address}/json/new?{url}") as response:
                target = (await response.json())["webSocketDebuggerUrl"]
            async with _controlled(http, address, target) as page:
                yield page
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def _controlled(http: aiohttp.ClientSession, address: str, target: str) -> AsyncIterator[Page]:
    async with http.ws_connect(target, max_msg_size=0) as socket:
        page = Page(socket, http, address)
        for domain in ("Runtime", "Page", "Log"):
            await page.send(f"{domain}.enable")
        yield page


async def _address(process: asyncio.subprocess.Process) -> str:
    """Return the host and port of the DevTools server, which Chromium prints."""
    assert process.stderr is not None
    async with asyncio.timeout(_START_SECONDS):
        async for line in process.stderr:
            found = re.search(rb"listening on ws://([^/]+)/", line)
            if found:
                return found[1].decode()
    raise ValueError("Chromium ended before it was ready")
