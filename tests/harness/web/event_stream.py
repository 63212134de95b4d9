"""A client of the API's server-sent events (WHATWG HTML, 9.2)."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from sipbridge.trial_call.timeline import Event


class EventStream:
    """A subscription, from its creation until it is closed. `last_id` is the id of the last event that was returned."""

    def __init__(self, url: str, key: str, after: str = "") -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.netloc)
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        headers = {"x-api-key": key} | ({"Last-Event-ID": after} if after else {})
        self.last_id = after
        try:
            self._connection.request("GET", path, headers=headers)
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        self._events: queue.SimpleQueue[tuple[str, Event]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="event stream", daemon=True)
        self._reader.start()

    @property
    def is_over(self) -> bool:
        """True if the stream has ended, and all of its events were returned."""
        return not self._reader.is_alive() and self._events.empty()

    def until(self, name: str, seconds: float) -> list[Event]:
        """Return the events up to one of that name, or until none arrives for this long."""
        events: list[Event] = []
        while not events or events[-1].name != name:
            try:
                self.last_id, event = self._events.get(timeout=seconds)
            except queue.Empty:
                break
            events.append(event)
        return events

    def _read(self) -> None:
        name, last_id = "", self.last_id
        try:
            for line in self._response:
                field, _, value = line.decode().strip().partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    last_id = value
                elif field == "data":
                    self._events.put((last_id, Event(name, json.loads(value))))
        except (OSError, http.client.HTTPException, ValueError):
            return  # closed, by us or by the bridge

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # Wakes the thread from its read; only then may the response be closed.
        if self._connection.sock is not None:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._reader.join()
        self._connection.close()
