"""Metrics and logs, both made from the events of calls and chats."""

from sipbridge.telemetry.call_log import CallLog, call_logs, log_event
from sipbridge.telemetry.chat_log import ChatLog
from sipbridge.telemetry.log_lines import LogFormat
from sipbridge.telemetry.logs import LogOutput, configure_logging, level_from
from sipbridge.telemetry.metrics import Metrics
from sipbridge.telemetry.node_metrics import NodeFigures

__all__ = [
    "CallLog",
    "ChatLog",
    "LogFormat",
    "LogOutput",
    "Metrics",
    "NodeFigures",
    "call_logs",
    "configure_logging",
    "level_from",
    "log_event",
]
