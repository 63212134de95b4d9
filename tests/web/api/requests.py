"""The requests that get each response that the document declares."""

from __future__ import annotations

import json
from typing import Any

from sipbridge.chats.model import AttachmentFile
from tests.fakes.channel_box import CREDENTIALS, THREAD

FILE = AttachmentFile(id="0123456789abcde", name="a.txt", content=b"x")
TURN = {"role": "agent", "text": "Hello"}
MESSAGE = {"text": "Hello"}
GRANT = {"grant_type": "client_credentials", "client_id": CREDENTIALS[0], "client_secret": CREDENTIALS[1]}
TYPING_OFF = {"senderAction": {"action": "isTypingOff"}}
OUTBOUND = {
    "thread": {"idOnExternalPlatform": THREAD},
    "messageContent": {"type": "TEXT", "payload": {"text": "Hi"}},
    "endUserRecipients": [{"idOnExternalPlatform": "7"}],
}
GOOD_BODIES: dict[str, list[Any]] = {
    "hand_off": [None, {"destination": "care", "data": {"a": 1}}, {"handoff": {"type": "cxone", "cxone": {}}}],
    "add_turns": [TURN, {"turns": [TURN]}],
    "start_chat": [
        None,
        {"id": "c2", "customer": {"phone": "+1"}, "transcript": [{"role": "user", "text": "Hi"}]},
        {"utterance": "One moment.", "handoff": {"reason": "orders", "text_chat": {"nice_integration": {}}}},
    ],
    "add_message": [MESSAGE, {"id": "m1", "attachments": [{"url": "https://files.example/a.png"}]}],
    "set_typing": [{"state": "started"}, {"state": "stopped"}],
    "end_chat": [{"by": "customer", "reason": "bye"}],
    "issue_box_token": [GRANT],
    "take_outbound": [OUTBOUND, {**OUTBOUND, "brand": {"id": 7}, "attachments": [], "authorUser": None}],
    "take_post": [OUTBOUND],
    "take_sender_action": [TYPING_OFF],
}
BOX_BODIES = ("issue_box_token", "take_outbound", "take_post", "take_sender_action")


def refusals_of_bodies(name: str) -> list[tuple[str, int, dict[str, Any]]]:
    """The refusals of bodies, which every operation with a body has."""
    wrong = {"start_chat": {"id": " "}, "issue_box_token": {"grant_type": 7}, "take_sender_action": {"senderAction": 7}}
    wrong |= {"take_outbound": {"messageContent": 7}, "take_post": {"messageContent": 7}, "end_chat": {"by": "agent"}}
    return [
        (name, 400, {"body": b"{"}),
        (name, 408, {"stalls": True}),
        (name, 413, {"body": b" " * 1_100_000}),
        (name, 415, {"headers": {"Content-Encoding": "gzip"}, "body": b"{}"}),
        (name, 422, {"body": json.dumps(wrong.get(name, {})).encode()}),
    ]


def refusals_of_chats(name: str, good: object) -> list[tuple[str, int, dict[str, Any]]]:
    """The refusals of a request to a chat in progress."""
    body = json.dumps(good).encode()
    return [
        (name, 404, {"call": "none", "body": body}),
        (name, 409, {"call": "stored", "body": body}),
        (name, 503, {"call": "not resumed", "body": body}),
    ]


def refusals_of_boxes(name: str, unknown: object, good: object = None) -> list[tuple[str, int, dict[str, Any]]]:
    """The refusals of CXone's requests to a box: `unknown` is about a thread that no chat has."""
    body = json.dumps(unknown).encode()
    stalling_store = [(name, 503, {"box_stalls": True, "body": json.dumps(good).encode()})] if good else []
    return [
        (name, 404, {"call": "none", "body": body}),
        (name, 503, {"call": "none", "body": body, "recovering": True}),
        *stalling_store,
    ]


# Operation, status and the request that gets it, for every error that the document declares.

REFUSALS = [
    ("get_handoff_state", 400, {"query": ""}),
    ("get_handoff_state", 404, {"query": "?id=none"}),
    ("delete_handoff_state", 400, {"query": ""}),
    ("delete_handoff_state", 404, {"query": "?id=none"}),
    ("delete_handoff_state", 409, {"query": "?id=live"}),
    ("get_pop", 403, {"token": "x"}),
    ("get_pop", 404, {"token": "of a deleted call"}),
    ("get_pop", 400, {"query": f"?transcript={'x' * 17}"}),
    ("stream_pop_events", 403, {"token": "x"}),
    ("stream_pop_events", 404, {"token": "of a deleted call"}),
    ("stream_pop_events", 400, {"query": "?after=-1"}),
    ("stream_pop_events", 429, {"no pages": True}),
    ("get_pop_asset", 404, {"call": "none"}),
    ("list_calls", 400, {"query": "?limit=0"}),
    ("get_call", 404, {"call": "none"}),
    ("hand_off", 400, {"body": b"{"}),
    ("hand_off", 404, {"call": "none"}),
    ("hand_off", 409, {"call": "stored"}),
    ("hand_off", 408, {"stalls": True}),
    ("hand_off", 413, {"body": b" " * 1_100_000}),
    ("hand_off", 415, {"headers": {"Content-Encoding": "gzip"}, "body": b"{}"}),
    ("hand_off", 422, {"body": b'{"destination": "nowhere"}'}),
    ("hang_up", 404, {"call": "none"}),
    ("hang_up", 409, {"call": "stored"}),
    ("add_turns", 400, {"body": b"{"}),
    ("add_turns", 404, {"call": "none", "body": b'{"role": "agent", "text": "x"}'}),
    ("add_turns", 409, {"call": "stored", "body": b'{"role": "agent", "text": "x"}'}),
    ("add_turns", 408, {"stalls": True}),
    ("add_turns", 413, {"body": b" " * 1_100_000}),
    ("add_turns", 415, {"headers": {"Content-Encoding": "gzip"}, "body": b"{}"}),
    ("add_turns", 422, {"body": b"{}"}),
    ("get_chat_availability", 400, {"query": f"?channel={'x' * 257}"}),
    ("get_chat_availability", 422, {"query": "?channel=fax"}),
    ("list_chats", 400, {"query": "?limit=0"}),
    ("get_chat", 404, {"call": "none"}),
    ("get_attachment", 404, {"call": "none"}),
    ("stream_events", 400, {"headers": {"Last-Event-ID": "x"}}),
    ("stream_chat_events", 400, {"query": "?after=-1"}),
    ("stream_chat_events", 404, {"call": "none"}),
    ("start_chat", 409, {"body": b'{"id": "live", "reason": "another"}'}),
    ("start_chat", 503, {"draining": True}),
    *refusals_of_chats("add_message", MESSAGE),
    *refusals_of_chats("set_typing", {"state": "started"}),
    *refusals_of_chats("end_chat", {}),
    *refusals_of_boxes("take_outbound", OUTBOUND | {"thread": {}}, OUTBOUND),
    *refusals_of_boxes("take_post", OUTBOUND | {"thread": {}}, OUTBOUND),
    *refusals_of_boxes("take_sender_action", TYPING_OFF),
    *refusals_of_boxes("release_thread", {}),
    *(
        each
        for name in ("start_chat", "add_message", "set_typing", "end_chat", *BOX_BODIES)
        for each in refusals_of_bodies(name)
    ),
    ("get_admin_asset", 404, {"call": "none"}),
    ("get_timeline", 400, {"query": "?id=/"}),
    ("get_timeline", 404, {"query": "?id=none"}),
    ("readyz", 503, {"obstacle": "draining"}),
    ("reload", 422, {"problems": ["bridge.yaml: clients: is missing; it is required"]}),
]
