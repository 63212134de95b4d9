"""The parameters p1 to p9 of a call's Signal."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from sipbridge.calls.model import CallRecord
from sipbridge.config import HandoffConfig, ParameterName
from sipbridge.handoffs.destinations import HandoffPlan


def signal_parameters(
    config: HandoffConfig,
    record: CallRecord,
    plan: HandoffPlan | None,
    headers: Mapping[str, str],
    pop_url: Callable[[CallRecord], str],
) -> dict[str, str]:
    """Fill in p1 to p9 of a handoff, or of the end where there is none; an empty one is not sent, an agent's own wins.

    `headers` are those that the project passes to its agent.
    """
    templates = config.signal if plan else config.end_signal
    wanted = frozenset(name for template in templates.values() for name in template.names)
    values = template_values(record, plan, headers, wanted, pop_url)
    rendered: dict[ParameterName, str] = {name: template.render(values) for name, template in templates.items()}
    own = plan.request.parameters if plan else {}
    return {name: text for name, text in sorted({**rendered, **own}.items()) if text}


def template_values(
    record: CallRecord,
    plan: HandoffPlan | None,
    headers: Mapping[str, str],
    wanted: frozenset[str],
    pop_url: Callable[[CallRecord], str],
) -> dict[str, str]:
    """Everything that a signal template may name, for this call. A link is only signed where one is wanted."""
    data = record.handoff.data if record.handoff else {}
    return {
        "destination": plan.destination if plan else "",
        "skill": plan.skill if plan else "",
        "reason": plan.reason if plan else record.reason,
        "utterance": plan.request.utterance if plan else "",
        "handoff_id": record.call_id,
        "call_id": record.call_id,
        "contact_id": record.contact_id,
        "main_contact_id": record.main_contact_id,
        "caller": record.caller,
        "dialled": record.dialled,
        "client": record.client,
        "project": record.project,
        "pop_url": pop_url(record) if "pop_url" in wanted else "",
        "data_json": _text(data) if data and "data_json" in wanted else "",
        **{f"data.{name}": _text(value) for name, value in data.items() if f"data.{name}" in wanted},
        **{f"headers.{name}": value for name, value in headers.items()},
    }


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
