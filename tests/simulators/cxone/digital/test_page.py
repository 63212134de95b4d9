from __future__ import annotations

import re

import aiohttp
import pytest


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/simulator/desk", "text/html"),
        ("/simulator/desk/desk.css", "text/css"),
        ("/simulator/desk/desk.js", "text/javascript"),
    ],
)
async def test_the_page_and_its_files_are_served(http: aiohttp.ClientSession, path: str, media_type: str) -> None:
    async with http.get(path) as response:
        assert (response.status, response.content_type) == (200, media_type)
        assert response.headers["Content-Security-Policy"].startswith("default-src 'self'")


async def test_the_page_uses_no_external_and_no_inline_resources(http: aiohttp.ClientSession) -> None:
    async with http.get("/simulator/desk") as response:
        page = await response.text()
    assert {link for link in re.findall(r'(?:src|href)="([^"]*)"', page) if link != "data:,"} == {
        "/simulator/desk/desk.css",
        "/simulator/desk/desk.js",
    }
    assert not re.search(r"<style|<script(?! src)| style=| on\w+=", page)


async def test_every_control_of_the_page_has_a_name(http: aiohttp.ClientSession) -> None:
    async with http.get("/simulator/desk") as response:
        page = await response.text()
    for control, attributes in re.findall(r"<(input|select|textarea)([^>]*)>", page):
        identity = re.search(r'id="([^"]*)"', attributes)
        assert identity is not None, control
        is_wrapped = re.search(rf'<label>[^<]*<{control}[^>]*id="{identity[1]}"', page)
        assert is_wrapped or f'<label for="{identity[1]}">' in page, identity[1]
    assert all(text.strip() for text in re.findall(r"<button[^>]*>([^<]*)</button>", page))


async def test_the_script_uses_only_elements_of_the_page(http: aiohttp.ClientSession) -> None:
    async with http.get("/simulator/desk") as response:
        page = await response.text()
    async with http.get("/simulator/desk/desk.js") as response:
        script = await response.text()
    used = set(re.findall(r'\$\("([\w-]+)"\)', script)) | set(re.findall(r'"(waiting|active|closed)"', script))
    assert used
    assert used <= set(re.findall(r'id="([^"]*)"', page))
