"""Links that a test cuts, between a client and a server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from .links import Links

ADDRESS = "127.0.0.4"
SILENCE_SECONDS = 0.2


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a server on 127.0.0.1 that returns what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve, args=[server], daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def links(port: int) -> Iterator[Links]:
    with Links() as links:
        links.add(ADDRESS, port)
        yield links


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_return, args=[connection], daemon=True).start()


def _return(connection: socket.socket) -> None:
    with connection, suppress(OSError):
        while data := connection.recv(1024):
            connection.sendall(data)


def connect(port: int) -> socket.socket:
    client = socket.create_connection((ADDRESS, port))
    client.settimeout(10)
    return client


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE_SECONDS)
    try:
        client.recv(1024)
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)
    return False


@pytest.mark.usefixtures("links")
def test_a_link_carries_both_directions_and_the_end(port: int) -> None:
    with connect(port) as client:
        client.sendall(b"one")
        assert client.recv(1024) == b"one"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1024) == b""


def test_a_cut_link_loses_nothing_that_it_was_given(links: Links, port: int) -> None:
    with connect(port) as client:
        client.sendall(b"one")
        assert client.recv(1024) == b"one"
        links.cut(ADDRESS, port)
        client.sendall(b"two")
        with connect(port) as later:
            later.sendall(b"three")
            assert is_silent(client)
            assert is_silent(later)
            links.mend(ADDRESS, port)
            assert client.recv(1024) == b"two"
            assert later.recv(1024) == b"three"


def test_a_link_is_cut_on_its_own(links: Links, port: int) -> None:
    links.add("127.0.0.5", port)
    links.cut("127.0.0.5", port)
    with connect(port) as client:
        client.sendall(b"one")
        assert client.recv(1024) == b"one"


def test_a_translated_link_names_itself_for_the_server(port: int) -> None:
    with Links() as links:
        links.add(ADDRESS, port, translated=True)
        with connect(port) as client:
            client.sendall(b"primary: 127.0.0.1")
            assert client.recv(1024) == b"primary: 127.0.0.4"
