"""The HTTP API beside the trunk: handoff state for screen-pops, calls, events, health."""

from sipbridge.web.app import make_app, start_web
from sipbridge.web.deps import WebDeps
from sipbridge.web.feed import EventFeed
from sipbridge.web.pop_links import PopLinks

__all__ = ["EventFeed", "PopLinks", "WebDeps", "make_app", "start_web"]
