"""The HTTP API: handoff state for screen-pops, calls, events, health checks, administration, and pages."""

from sipbridge.web.api.schemas import render_milestone
from sipbridge.web.app import make_admin_app, make_app
from sipbridge.web.deps import AdminControls, ChatDeps, ReloadReport, WebDeps
from sipbridge.web.event_log import EventLog
from sipbridge.web.nodes import NodeReport, Nodes, OtherNode
from sipbridge.web.operators.last_hour import LastHour
from sipbridge.web.screen_pop.feed import PageFeed
from sipbridge.web.screen_pop.links import PopLinks
from sipbridge.web.server.chat_feed import ChatFeed
from sipbridge.web.server.event_feed import GAP, EventFeed, EventId, Notice
from sipbridge.web.server.forwarding import Forwarder
from sipbridge.web.server.listener import start_web

__all__ = [
    "GAP",
    "AdminControls",
    "ChatDeps",
    "ChatFeed",
    "EventFeed",
    "EventId",
    "EventLog",
    "Forwarder",
    "LastHour",
    "NodeReport",
    "Nodes",
    "Notice",
    "OtherNode",
    "PageFeed",
    "PopLinks",
    "ReloadReport",
    "WebDeps",
    "make_admin_app",
    "make_app",
    "render_milestone",
    "start_web",
]
