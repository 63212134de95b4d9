"""Rules that span several keys.

They check the plain tree, not the models, so that they report their problems even if the file has others.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Hashable, Iterable, Iterator, Mapping

from sipbridge.config.problems import KeyPath, Problem, dotted
from sipbridge.config.projects import is_voice
from sipbridge.config.redis_url import is_redis_url
from sipbridge.config.source import select
from sipbridge.config.tokens import SAFE_CHARACTERS, HashedSecret, is_hash
from sipbridge.telephony.numbers import number_key
from sipbridge.telephony.sip_uri import SipUri

_PROJECT: tuple[Hashable, ...] = ("clients", ..., "projects", ...)
_CHANNEL: tuple[Hashable, ...] = (*_PROJECT, "chat", "channels", ...)


def cross_check(tree: object) -> Iterator[Problem]:
    """Find every problem that spans several keys."""
    yield from _numbers_missing(tree)
    yield from _numbers_given_twice(tree)
    yield from _tokens_shared(tree)
    yield from _tokens_null(tree)
    yield from _keys_shared(tree)
    yield from _destinations_not_defined(tree)
    yield from _tls_without_certificate(tree)
    yield from _calls_without_listener(tree)
    yield from _credentials_in_half(tree)
    yield from _transcripts_without_business_unit(tree)
    yield from _channels_not_defined(tree)
    yield from _channels_given_twice(tree)
    yield from _node_incomplete(tree)


def _numbers_missing(tree: object) -> Iterator[Problem]:
    for client, settings in select(tree, "clients", ...):
        if any(is_voice(project) for _, project in select(settings, "projects", ...)):
            numbers = [value for _, value in select(settings, "pseudo_numbers")]
            if not numbers:
                yield Problem((*client, "pseudo_numbers"), "is missing; a client with a voice agent needs it")
            elif numbers == [[]]:
                yield Problem((*client, "pseudo_numbers"), "has too few entries; give at least 1")


def _numbers_given_twice(tree: object) -> Iterator[Problem]:
    first: dict[str, KeyPath] = {}
    for path, number in select(tree, "clients", ..., "pseudo_numbers", ...):
        if isinstance(number, str) and first.setdefault(number_key(number), path) != path:
            there = dotted(first[number_key(number)])
            yield Problem(path, f"is also the number of {there}; give each number once, to one client")


def _tokens_shared(tree: object) -> Iterator[Problem]:
    for client, projects in select(tree, "clients", ..., "projects"):
        tokens = [(client + path, token) for path, token in select(projects, ..., "auth_token")]
        for path, first in _repeated(tokens):
            yield Problem(path, f"is also the token of {dotted(first)}; give each project of a client its own")


def _tokens_null(tree: object) -> Iterator[Problem]:
    for client, projects in select(tree, "clients", ..., "projects"):
        voice = {path: project for path, project in select(projects, ...) if is_voice(project)}
        if len(voice) < 2:  # noqa: PLR2004 (several)
            continue
        for path, project in voice.items():
            if any(token is None for _, token in select(project, "auth_token")):
                place = (*client, *path, "auth_token")
                yield Problem(place, "is null in a client of several projects; give each project a token")


def _keys_shared(tree: object) -> Iterator[Problem]:
    keys = itertools.chain(select(tree, *_PROJECT, "api_keys", ...), select(tree, "http", "admin", "keys", ...))
    for path, first in _repeated(keys):
        yield Problem(path, f"is also the key at {dotted(first)}; give each key once, to one project or to http.admin")


def _repeated(secrets: Iterable[tuple[KeyPath, object]]) -> Iterator[tuple[KeyPath, KeyPath]]:
    """Pair the path of each repeated secret, plain or hashed, with the path where the secret is first.

    Two hashes of one secret with different salts are not recognised: they look like hashes of two secrets.
    """
    first: dict[str, KeyPath] = {}
    hashed: dict[str, HashedSecret] = {}
    for path, text in secrets:
        if not isinstance(text, str):
            continue
        there = first.get(text)
        if there is None and is_hash(text):
            own = hashed[text] = HashedSecret(text)
            there = next((place for plain, place in first.items() if own.matches(plain)), None)
        elif there is None:
            there = next((first[known] for known, secret in hashed.items() if secret.matches(text)), None)
        if there is not None:
            yield path, there
        first.setdefault(text, path)


def _destinations_not_defined(tree: object) -> Iterator[Problem]:
    for project, settings in select(tree, *_PROJECT):
        for _, defined in select(settings, "handoff", "destinations"):
            if not isinstance(defined, Mapping):
                continue
            for keys in (("handoff", "default"), ("agent", "destination")):
                for path, name in select(settings, *keys):
                    if isinstance(name, str) and name not in defined:
                        yield Problem(project + path, f"{name!r} is not defined; {nearest(name, defined)}")


def short_secrets(tree: object) -> Iterator[Problem]:
    """Find plain tokens, keys and secrets that are short enough to be guessed. They are allowed, for tests."""
    places = (
        (*_PROJECT, "auth_token"),
        (*_PROJECT, "api_keys", ...),
        ("http", "admin", "keys", ...),
        (*_CHANNEL, "box", "client_secret"),
    )
    for path, text in itertools.chain.from_iterable(select(tree, *steps) for steps in places):
        if isinstance(text, str) and text and not is_hash(text) and len(text) < SAFE_CHARACTERS:
            yield Problem(path, f"is under {SAFE_CHARACTERS} characters; `sipbridge hash-token --generate` makes one")


def shared_secrets(tree: object) -> Iterator[Problem]:
    """Find secrets of boxes that several channels have: CXone, or its administrator, could use another's box."""
    for path, first in _repeated(select(tree, *_CHANNEL, "box", "client_secret")):
        yield Problem(path, f"is also the secret of {dotted(first)}; give each channel its own")


def nearest(name: str, known: Iterable[object]) -> str:
    """Return what to write instead of an unknown name."""
    names = sorted(str(each) for each in known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"the known ones are {', '.join(names)}"


def _tls_without_certificate(tree: object) -> Iterator[Problem]:
    listeners = [url for _, url in select(tree, "sip", "listen", ...)]
    if not any(isinstance(url, str) and url.startswith("tls:") for url in listeners):
        return
    for key in ("certificate_file", "private_key_file"):
        if all(value is None for _, value in select(tree, "sip", "tls", key)):
            yield Problem(("sip", "tls", key), "is missing; a tls:// address in sip.listen needs it")


def _calls_without_listener(tree: object) -> Iterator[Problem]:
    for path, transport in transports_missing(tree):
        yield Problem(path, f"is called over {transport.upper()}; add a {transport}:// address to sip.listen")


def transports_missing(tree: object) -> Iterator[tuple[KeyPath, str]]:
    """Find the URIs that we call over a transport on which the bridge does not listen.

    PJSIP calls out on the transports that it listens on, and on no other.
    """
    listeners = [url for _, url in select(tree, "sip", "listen", ...) if isinstance(url, str)]
    open_ = {url.partition(":")[0] for url in listeners} or {"udp", "tcp"}
    for path, uri, otherwise in _uris_called(tree):
        transport = SipUri.parse(uri).transport or otherwise
        if isinstance(transport, str) and transport in {"udp", "tcp", "tls"} - open_:
            yield path, transport


def _credentials_in_half(tree: object) -> Iterator[Problem]:
    """Find digest credentials with only one of username and password (RFC 3261, 22.4)."""
    callees = itertools.chain(select(tree, *_PROJECT, "agent"), select(tree, *_PROJECT, "handoff", "destinations", ...))
    for path, callee in callees:
        for key, other in (("username", "password"), ("password", "username")):
            if _given(callee, key) and not _given(callee, other):
                yield Problem((*path, other), f"is missing; {key} needs it")


def _node_incomplete(tree: object) -> Iterator[Problem]:
    """Find what several nodes need, and a store in Redis therefore."""
    if not any(isinstance(url, str) and is_redis_url(url) for _, url in select(tree, "store", "url")):
        return
    if not any(_given(node, "id") for _, node in select(tree, "node")):
        yield Problem(("node", "id"), "is missing; a store in Redis needs a name of this bridge, unique among all")
    if not any(_given(http, "pop_link_secret") for _, http in select(tree, "http")):
        yield Problem(("http", "pop_link_secret"), "is missing; all bridges of a store in Redis share one")
    listening = [value for _, value in select(tree, "http", "listen") if isinstance(value, str)]
    is_anywhere = any(value.startswith(("0.0.0.0:", "[::]:")) for value in listening)
    if is_anywhere and not any(_given(node, "internal_url") for _, node in select(tree, "node")):
        yield Problem(("node", "internal_url"), "is missing; write the URL of http.listen that other bridges reach")


def _given(settings: object, key: str) -> bool:
    return any(value is not None for _, value in select(settings, key))


def _uris_called(tree: object) -> Iterator[tuple[KeyPath, str, object]]:
    """Find the URIs that we send calls to, each with the transport to use if the URI names none."""
    proxies = [(path, uri) for path, uri in select(tree, "sip", "outbound_proxy") if isinstance(uri, str)]
    if proxies:
        yield from ((path, uri, "udp") for path, uri in proxies)
        return
    for project, agent in select(tree, *_PROJECT, "agent"):
        transport = next((value for _, value in select(agent, "transport") if value is not None), "udp")
        for path, uri in (*select(agent, "uri"), *select(agent, "uri", ...)):
            if isinstance(uri, str):
                yield project + path, uri, transport
    for path, destination in select(tree, *_PROJECT, "handoff", "destinations", ...):
        if isinstance(destination, Mapping) and destination.get("method") == "invite":
            yield (*path, "uri"), str(destination.get("uri", "")), "udp"


def _transcripts_without_business_unit(tree: object) -> Iterator[Problem]:
    for client, settings in select(tree, "clients", ...):
        posting = any(value is True for _, value in select(settings, "projects", ..., "handoff", "post_transcript"))
        if posting and not any(value for _, value in select(settings, "cxone", "business_unit")):
            yield Problem((*client, "cxone", "business_unit"), "is missing; a project with post_transcript needs it")


def _channels_not_defined(tree: object) -> Iterator[Problem]:
    for project, chat in select(tree, *_PROJECT, "chat"):
        channels = next((channels for _, channels in select(chat, "channels")), None)
        if not isinstance(channels, Mapping) or not channels:
            continue
        name = next((name for _, name in select(chat, "default")), None)
        if isinstance(name, str) and name not in channels:
            yield Problem((*project, "default"), f"{name!r} is not defined; {nearest(name, channels)}")
        elif name is None and len(channels) > 1:
            yield Problem(
                (*project, "default"), f"is missing; name one of the channels {', '.join(map(str, channels))}"
            )


def _channels_given_twice(tree: object) -> Iterator[Problem]:
    """Find bring-your-own channels of one tenant that are the same: CXone knows one box for each."""
    for client, settings in select(tree, "clients", ...):
        first: dict[tuple[object, object], KeyPath] = {}
        for path, channel in select(settings, "projects", ..., "chat", "channels", ...):
            if not isinstance(channel, Mapping) or channel.get("type") != "byoc" or "channel_id" not in channel:
                continue
            same = (str(channel["channel_id"]), str(channel.get("api_url") or "").rstrip("/"))
            there = first.setdefault(same, path)
            if there != path:
                text = f"is also the channel of {dotted((*client, *there))}; give each channel once"
                yield Problem((*client, *path, "channel_id"), text)
