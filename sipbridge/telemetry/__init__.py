"""Metrics and logs, both made from the events of calls and chats."""

from sipbridge.telemetry.call_log import CallLog
from sipbridge.telemetry.chat_log import ChatLog
from sipbridge.telemetry.log_lines import LogFormat
from sipbridge.telemetry.logs import LogOutput, configure_logging, level_from
from sipbridge.telemetry.metrics import Metrics

__all__ = ["CallLog", "ChatLog", "LogFormat", "LogOutput", "Metrics", "configure_logging", "level_from"]
