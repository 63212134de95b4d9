"""Prometheus scrapes a bridge with calls and chats of many kinds, and evaluates all rules and dashboards."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.harness.ports import reserved_port
from tests.harness.programs.prometheus import Prometheus, prometheus
from tests.harness.programs.redis import redis_server
from tests.harness.programs.simulator import Simulator, simulator
from tests.harness.settings import on_redis
from tests.harness.waiting import wait_for
from tests.monitoring.dashboards import (
    DASHBOARDS,
    annotation_queries,
    panel_queries,
    variable_queries,
    with_values,
)
from tests.monitoring.promql import names_of
from tests.monitoring.rules import ALERTS, RECORDS

from .chat_site import CLIENT, PROJECT, ChatSite, chat_settings, prepare_channels
from .site import Contact, Site, clients, site
from .websocket_site import ScriptedAgent, websocket_project

UNINFORMED = "uninformed"  # the settings of its channel cannot be read
RETURNING = "returning"  # its agent gets a caller back

pytestmark = pytest.mark.timeout(180)
every_dashboard = pytest.mark.parametrize("name", DASHBOARDS)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped a node, killed and started before, while it had calls and chats."""
    folder = tmp_path_factory.mktemp("scraped")
    with simulator(folder) as cxone, redis_server(folder) as redis, ScriptedAgent() as agents:
        prepare_channels(cxone.desk)
        with node(folder, cxone, redis.url, agents.url) as trunk:
            trunk.call("release", "lasting").wait_until_answered()
            with ChatSite(trunk.bridge, cxone).active().stack:
                trunk.bridge.program.kill()
        with node(folder, cxone, redis.url, agents.url) as trunk:
            meet_faults(trunk)
            take_back(trunk, agents)
            hold_conversations(trunk)  # so that its series exist, and grow between two scrapes
            with prometheus(folder, [trunk.bridge.http]) as running:
                wait_for(lambda: running.total("sipbridge_chats_total"), "the first scrape")
                hold_conversations(trunk)
                wait_until_recorded(running, trunk)
                yield running


def node(folder: Path, cxone: Simulator, redis_url: str, agents_url: str) -> AbstractContextManager[Site]:
    """Run a node whose one client has voice agents, bots, and a webhook that does not respond."""
    acme = clients(folder, cxone.url, reserved_port())[CLIENT]
    bots = chat_settings(folder, cxone)["clients"][CLIENT]["projects"]
    acme["projects"]["waiting"]["tts_command"] = ["false"]
    acme["projects"] |= {name: bots[name] for name in (PROJECT, UNINFORMED)}
    acme["projects"][RETURNING] = websocket_project(RETURNING, agents_url, handoff={"take_back_seconds": 1})
    for project in acme["projects"].values():
        project["webhook"] = {"url": f"http://127.0.0.1:{reserved_port()}/", "secret": "secret-of-the-webhook"}
    traces = {"otlp_endpoint": f"http://127.0.0.1:{reserved_port()}"}
    return site(folder, cxone, clients={CLIENT: acme}, telemetry=traces, **on_redis(redis_url, "node-1"))


def hold_conversations(trunk: Site) -> None:
    """Reload, reject a call, hand callers off by two methods, and hold a chat in both directions."""
    reloads = trunk.count()
    os.kill(trunk.bridge.program.pid, signal.SIGHUP)
    reloads.grows_by(1, "sipbridge_config_reloads_total")
    trunk.call("bad_token", sent_token="another").wait_for_scenario()
    for scenario, project in (("release", "release"), ("refer_ok", "refer")):
        trunk.call(scenario, project).record()
    chat = ChatSite(trunk.bridge, trunk.cxone).active()
    with chat.stack:
        chat.say("Hello")
        chat.reported("Good morning")
        chat.end()
        assert chat.ended()["result"] == "success"


def meet_faults(trunk: Site) -> None:
    """Let a channel have a fault, an agent request what is impossible, and two calls have one contact."""
    chat = ChatSite(trunk.bridge, trunk.cxone).start("messaging", project=UNINFORMED)
    contact = Contact.new()
    calls = [trunk.call("release", "waiting", contact=contact) for _ in range(2)]
    path = f"calls/{calls[0].wait_until_answered()}/handoff"
    assert calls[0].project.request(path, "POST", {"destination": "nowhere"}).status == 422
    assert calls[0].project.request(path, "POST", {"utterance": "One moment"}).status == 202
    for call in calls:
        call.wait_for_scenario()
    trunk.bridge.wait_until_idle()
    with chat.stack:
        chat.ended()


def take_back(trunk: Site, agents: ScriptedAgent) -> None:
    """Let an agent get back a caller whom CXone does not take."""
    call = trunk.call("release", RETURNING)
    agent = agents.call_of(call.contact.id)
    agent.hand_off(reason="asked")
    agent.wait_for("handoff", 2)
    agent.hang_up()
    call.wait_for_scenario()


def wait_until_recorded(running: Prometheus, trunk: Site) -> None:
    """Return once Prometheus has what the bridge counted, and two evaluations of the rules that saw it."""
    counted = trunk.bridge.metrics().value("sipbridge_chats_total")
    wait_for(lambda: running.total("sipbridge_chats_total") == counted, "a scrape after the last chat")
    for _ in range(2):
        wait_for_evaluation(running)


def wait_for_evaluation(running: Prometheus) -> None:
    """Return once all rules were evaluated again."""
    before = evaluations(running)
    wait_for(lambda: not before & evaluations(running), "an evaluation of all rules")


def evaluations(running: Prometheus) -> set[tuple[str, str]]:
    """Return the name of each rule with the time of its last evaluation."""
    return {(rule["name"], rule["lastEvaluation"]) for rule in running.rules()}


@every_dashboard
def test_every_panel_shows_something(scraped: Prometheus, name: str) -> None:
    queries = panel_queries(DASHBOARDS[name]) | variable_queries(DASHBOARDS[name])
    assert [where for where, query in queries.items() if not numbers(scraped, with_values(query, CLIENT))] == []


@every_dashboard
def test_prometheus_accepts_the_annotations(scraped: Prometheus, name: str) -> None:
    for query in annotation_queries(DASHBOARDS[name]).values():
        scraped.query(with_values(query, CLIENT))


def test_every_rule_is_evaluated_without_an_error(scraped: Prometheus) -> None:
    rules = scraped.rules()
    assert {rule["name"] for rule in rules} == ALERTS.keys() | RECORDS.keys()
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}


def test_every_recording_rule_has_a_value(scraped: Prometheus) -> None:
    assert [name for name in RECORDS if not numbers(scraped, name)] == []


def test_every_series_of_an_alert_exists(scraped: Prometheus) -> None:
    names = {selector.name for rule in ALERTS.values() for selector in names_of(rule["expr"]).selectors}
    assert [name for name in sorted(names) if not scraped.query(name)] == []


def numbers(running: Prometheus, query: str) -> list[float]:
    """Return the values of a query that are numbers: a quantile of no events is none."""
    values = (float(sample["value"][1]) for sample in running.query(query))
    return [value for value in values if not math.isnan(value)]
