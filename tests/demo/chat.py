"""`make demo-chat`: a customer talks to a bot, then to human agents at CXone, then to the bot; the timeline of it."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from asyncio import to_thread
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from sipbridge.terminal import Style
from sipbridge.trial_call.timeline import Step
from tests.harness.cxone.desk import Desk
from tests.harness.programs.bot import bot
from tests.harness.programs.bridge import Project, running_bridge
from tests.harness.programs.simulator import simulator
from tests.harness.web.event_stream import EventStream

from . import timeline
from .customer import customer
from .human_agent import HumanAgent
from .report import Report, print_and_wait

CONFIG = Path(__file__).resolve().parents[2] / "config" / "demo-chat.yaml"
KEY = "demo-api-key"
WAIT_FOR_CHAT_SECONDS = 10
WISH = "I would rather talk to a person"
INVOICE = {"url": "https://example.com/invoice-1042.pdf", "name": "invoice-1042.pdf", "media_type": "application/pdf"}
EXPECTED = (
    *("greeting", "question", "echo", "wish", "promise", "handoff_accepted", "contact", "queue_status", "queue"),
    *("accept", "agent_joined", "joined", "agent types", "agent typing", "agent writes", "customer reads"),
    *("customer types", "customer typing", "customer writes", "agent reads", "message_delivered"),
    *("file", "link", "transfer", "agent_left", "transferred", "second joined", "second writes", "customer reads it"),
    *("close", "chat_ended", "bot again", "thanks", "bot echo"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return 0 if every step was observed."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.chat", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the widget and the desk open until Ctrl-C")
    options = parser.parse_args(arguments)
    report = Report(EXPECTED, Style.of_output())
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sipbridge-demo-")))
        cxone = stack.enter_context(simulator(folder))
        environ = {"DEMO_CXONE": urlsplit(cxone.url).netloc, "DEMO_FOLDER": str(folder), "DEMO_HTTP_PORT": "0"}
        bridge = stack.enter_context(running_bridge(CONFIG, folder / "bridge.log", environ))
        project = bridge.project("demo", "support", KEY)
        widget = stack.enter_context(bot(project, folder)).url
        report.heading(
            "A customer, a bot, a handoff, two human agents",
            bridge.ready_line,
            f"bot: {widget}",
            f"simulated CXone: {cxone.url}",
        )
        steps, trouble = _chat(widget, cxone.desk, project)
        steps = report.in_order(steps)
        report.timeline(steps)
        complete = report.is_complete(steps, trouble)
        if options.keep:
            print_and_wait(
                f"\nYou are the customer at  {widget}/",
                f"and the human agent at   {cxone.url}/simulator/desk",
                "until Ctrl-C. Ask the bot for a person, then accept the chat at the desk.",
            )
    if not options.keep:
        report.hint("To play the customer and the human agent yourself:\n  make demo-chat KEEP=1")
    return 0 if complete else 1


def _chat(widget: str, desk: Desk, project: Project) -> tuple[list[Step], str]:
    """Hold the conversation; return the steps, and what went wrong."""
    steps: list[Step] = []
    trouble = ""
    try:
        asyncio.run(_converse(widget, desk, steps))
    except (TimeoutError, ValueError) as error:
        trouble = str(error)
    return [*steps, *_bridge_steps(project, is_over=not trouble)], trouble


async def _converse(widget: str, desk: Desk, steps: list[Step]) -> None:
    """Play the customer and the human agents; each waits for what the other did."""
    ada, ben = HumanAgent(desk, 101, "Ada", steps), HumanAgent(desk, 102, "Ben", steps)
    async with customer(widget, steps) as person:
        await person.read("greeting", "bot", "Hello!")
        await person.write("question", "Where is my invoice?")
        await person.read("echo", "bot", "You said: Where is my invoice?")
        await person.write("wish", WISH)
        await person.read("promise", "bot", "I am getting you a person.")
        await to_thread(ada.find_chat, "contact")
        await person.see("queue", "status", "Waiting for a person, you are number 1")

        await to_thread(ada.accept, "accept")
        await person.see("joined", "status", "You are talking to Ada Quinn")
        await to_thread(ada.begin_typing, "agent types")
        await person.see("agent typing", "typing", "Ada Quinn")
        await to_thread(ada.write, "agent writes", "Good morning, which month do you need?")
        await person.read("customer reads", "agent", "Good morning")
        await person.begin_typing("customer types")
        await to_thread(ada.see_typing, "customer typing")
        await person.write("customer writes", "March, please")
        await to_thread(ada.read, "agent reads", "March, please")
        await to_thread(ada.write, "file", "Here it is.", [INVOICE])
        await person.read("link", "agent", "Here it is.", INVOICE["url"])

        await to_thread(ada.transfer, "transfer", ben)
        await person.see("transferred", "status", "You are being transferred")
        await person.see("second joined", "status", "You are talking to Ben O.")
        await to_thread(ben.write, "second writes", "I am Ben from accounting. Anything else?")
        await person.read("customer reads it", "agent", "I am Ben")
        await to_thread(ben.close, "close")
        await person.read("bot again", "bot", "The chat has ended.")
        await person.write("thanks", "Thank you")
        await person.read("bot echo", "bot", "You said: Thank you")


def _bridge_steps(project: Project, *, is_over: bool) -> Iterator[Step]:
    """Return the events of the chat that the bridge gave the bot."""
    chats = project.request("chats").json()["chats"]
    if chats:
        with EventStream(f"{project.url}/chats/{chats[0]['id']}/events", KEY) as stream:
            events = stream.until("chat_ended", seconds=5 if is_over else 1)
        yield from timeline.of_chat_events(events)


if __name__ == "__main__":
    sys.exit(main())
