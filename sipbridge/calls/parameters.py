"""The parameters p1 to p9 of a call's Signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sipbridge.calls.model import CallRecord
from sipbridge.config import HandoffConfig
from sipbridge.handoffs.destinations import HandoffPlan
from sipbridge.handoffs.parameters import fill_in, handoff_values, placeholders


def signal_parameters(
    config: HandoffConfig,
    record: CallRecord,
    plan: HandoffPlan | None,
    headers: Mapping[str, str],
    pop_url: Callable[[CallRecord], str],
) -> dict[str, str]:
    """Fill in the templates of a handoff, or of the end of the call if there is no plan.

    `headers` are those that the project passes to its agent.
    """
    templates = config.signal if plan else config.end_signal
    values = template_values(record, plan, headers, placeholders(templates.values()), pop_url)
    return fill_in(templates.items(), values, plan.request.parameters.items() if plan else ())


def template_values(
    record: CallRecord,
    plan: HandoffPlan | None,
    headers: Mapping[str, str],
    used: frozenset[str],
    pop_url: Callable[[CallRecord], str],
) -> dict[str, str]:
    """Return the values of all placeholders for this call. A pop link is signed only if it is `used`."""
    data = record.handoff.data if record.handoff else {}
    if plan is None:
        shared = handoff_values(used, reason=record.reason, data=data)
    else:
        shared = handoff_values(
            used,
            destination=plan.destination,
            skill=plan.skill,
            reason=plan.reason,
            utterance=plan.request.utterance,
            data=data,
        )
    return {
        **shared,
        "handoff_id": record.call_id,
        "call_id": record.call_id,
        "contact_id": record.contact_id,
        "main_contact_id": record.main_contact_id,
        "caller": record.caller,
        "dialled": record.dialled,
        "client": record.client,
        "project": record.project,
        "pop_url": pop_url(record) if "pop_url" in used else "",
        **{f"headers.{name}": value for name, value in headers.items()},
    }
