"""The HTTP API beside the trunk: handoff state for screen-pops, calls, events, health, admin."""

from sipbridge.web.app import make_admin_app, make_app
from sipbridge.web.deps import Operator, ReloadReport, WebDeps
from sipbridge.web.feed import EventFeed
from sipbridge.web.listener import start_web
from sipbridge.web.pop_links import PopLinks

__all__ = ["EventFeed", "Operator", "PopLinks", "ReloadReport", "WebDeps", "make_admin_app", "make_app", "start_web"]
