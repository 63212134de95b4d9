"""The command `sipbridge init`: its options, and the questions for those that are not given."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from pydantic import TypeAdapter, ValidationError

from sipbridge.config import HostPort, is_loopback
from sipbridge.config.explain import explain_value
from sipbridge.config.fields import HttpUrl, Identifier, Ipv4Host, Name, Network, SipUri, WebsocketUrl
from sipbridge.config.models import PseudoNumber
from sipbridge.terminal import Style

from .answers import SIMULATOR, SIMULATOR_CREDENTIALS, Answers, CxoneAccess


class Checked(click.ParamType):  # type: ignore[type-arg]  # generic in recent releases only
    """A value of an option with the check of a key of the configuration. The text stays as it was written."""

    def __init__(self, key: str, kind: Any) -> None:  # noqa: ANN401 (any type that pydantic knows)
        self.name = key
        self._adapter: TypeAdapter[object] = TypeAdapter(kind)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if it is valid; otherwise click reports what is wrong, and asks again at a terminal."""
        try:
            self._adapter.validate_python(value)
        except ValidationError as error:
            self.fail(f"the value {explain_value(error, self.name)}.", param, ctx)
        return value


class AgentUrl(Checked):
    """The URL of an agent: its scheme selects the check."""

    def __init__(self) -> None:
        super().__init__("url", WebsocketUrl)
        self._sip = Checked("uri", SipUri)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if it is valid."""
        return self._sip.convert(value, param, ctx) if value.startswith("sip") else super().convert(value, param, ctx)


IDENTIFIER, NAME, URL = Checked("client", Identifier), Checked("skill", Name), Checked("issuer", HttpUrl)
ADDRESS, NETWORK = Checked("listen", HostPort), Checked("trusted_sources", Network)
NUMBER, HOST = Checked("pseudo_numbers", PseudoNumber), Checked("public_address", Ipv4Host)


@click.command("init")
@click.argument("file", type=click.Path(path_type=Path), default=Path("bridge.yaml"))
@click.option("--client", type=IDENTIFIER, metavar="ID", help="Your id for the CXone business unit.")
@click.option("--project", type=IDENTIFIER, metavar="ID", help="Your id for the voice agent.")
@click.option("--number", type=NUMBER, metavar="N", help="The pseudo number that NICE gave you.")
@click.option("--agent", type=AgentUrl(), metavar="URL", help="The voice agent: ws://, wss:// or sip:.")
@click.option("--skill", type=NAME, metavar="ID", help="The CXone skill that gets the callers.")
@click.option("--issuer", type=URL, metavar="URL", help="CXone: https://cxone.niceincontact.com, or the simulator.")
@click.option("--client-id", type=NAME, metavar="ID", help="The client_id of your application at NICE.")
@click.option("--access-key-id", type=NAME, metavar="ID", help="The id of the tenant's access key.")
@click.option("--trunk", type=NETWORK, multiple=True, metavar="NETWORK", help="The source of calls; may be repeated.")
@click.option("--sip", type=ADDRESS, metavar="HOST:PORT", help="The address for SIP, over UDP and TCP.")
@click.option("--public-address", type=HOST, metavar="HOST", help="Our address behind NAT.")
@click.option("--http", type=ADDRESS, metavar="HOST:PORT", help="The address for the HTTP API.")
@click.option("--public-url", type=URL, metavar="URL", help="The URL by which desktops reach the HTTP API.")
@click.option("--client-secret", envvar="SIPBRIDGE_CLIENT_SECRET", show_envvar=True, help="The client_secret at NICE.")
@click.option(
    "--access-key-secret", envvar="SIPBRIDGE_ACCESS_KEY_SECRET", show_envvar=True, help="The secret of the access key."
)
@click.option("--yes", "-y", is_flag=True, help="Ask nothing: use the defaults, which are for a first try.")
def init(file: Path, *, yes: bool, **given: Any) -> int:  # noqa: ANN401 (the options)
    """Write a first configuration to FILE, by default bridge.yaml, and generate its secrets.

    Asks for what no option gives, at a terminal. Without an answer, the configuration is for a first try on this
    machine, with `sipbridge simulate` as CXone and `sipbridge agent` as the voice agent. Overwrites nothing.
    """
    from .files import SECRETS_FOLDER, write_files  # noqa: PLC0415 (Jinja2 would delay each of the other commands)

    answers = _answers(_Questions(given, asks=sys.stdin.isatty() and not yes))
    written = write_files(file, answers)
    click.echo(f"{file} written, and {len(written) - 1} secrets in {file.parent / SECRETS_FOLDER}")
    _print_next_steps(file, answers)
    return 0


class _Questions:
    """The options as given. For others, asks at a terminal, and elsewhere takes the default."""

    def __init__(self, given: dict[str, Any], *, asks: bool) -> None:
        self._given = given
        self._asks = asks
        self._parameters = {each.name: each for each in click.get_current_context().command.params}

    def answer(self, name: str, question: str, default: str | None) -> str:
        """Return the value of an option. Raises `click.UsageError` if there is neither answer nor default."""
        if self._given[name]:
            return str(self._given[name])
        parameter = self._parameters[name]
        if self._asks:
            hidden = name.endswith("_secret")
            return str(click.prompt(question, default=default, type=parameter.type, hide_input=hidden, err=True))
        if default is None:
            # Not the option of a secret, which the users of the machine would see among the arguments.
            raise click.UsageError(
                f"Give {parameter.envvar or parameter.opts[0]}: {question[0].lower()}{question[1:]}."
            )
        return default

    @property
    def given_networks(self) -> tuple[str, ...]:
        """The networks of the trunk, as far as options give them."""
        return tuple(self._given["trunk"])

    def networks(self) -> tuple[str, ...]:
        """Return the networks of the trunk: those of the options, or the one answer."""
        return self.given_networks or (self.answer("trunk", "The network that CXone's calls come from", None),)

    def optional(self, name: str) -> str | None:
        """Return the value of an option that is not asked for."""
        value = self._given[name]
        return None if value is None else str(value)


def _answers(ask: _Questions) -> Answers:
    """Ask for everything, in the order in which the answers depend on each other."""
    cxone = _cxone(ask)
    first_try = is_loopback(urlsplit(cxone.issuer).hostname or "")
    host = "127.0.0.1" if first_try else "0.0.0.0"  # noqa: S104 (a trunk calls from outside)
    trunk = ("127.0.0.0/8", *ask.given_networks) if first_try else ("127.0.0.1/32", *ask.networks())
    http = ask.optional("http") or "127.0.0.1:8080"
    return Answers(
        client=ask.answer("client", "Your id for the CXone business unit", "acme"),
        project=ask.answer("project", "Your id for the voice agent", "voice"),
        number=ask.answer("number", "The pseudo number that NICE gave you", "+19995550001"),
        agent=ask.answer("agent", "The URL of the voice agent (ws://, wss:// or sip:)", "ws://127.0.0.1:9200/media"),
        skill=ask.answer("skill", "The CXone skill that gets the callers", "10000002"),
        cxone=cxone,
        trunk=tuple(dict.fromkeys(trunk)),
        sip=ask.optional("sip") or f"{host}:5060",
        public_address=ask.optional("public_address"),
        http=http,
        public_url=ask.answer("public_url", "The URL by which desktops reach the HTTP API", f"http://{http}"),
    )


def _cxone(ask: _Questions) -> CxoneAccess:
    issuer = ask.answer("issuer", "CXone: https://cxone.niceincontact.com, or the simulator", SIMULATOR)
    if is_loopback(urlsplit(issuer).hostname or ""):
        return CxoneAccess(issuer, *SIMULATOR_CREDENTIALS)
    return CxoneAccess(
        issuer,
        ask.answer("client_id", "The client_id of your application at NICE", None),
        ask.answer("client_secret", "The client_secret of your application at NICE", None),
        ask.answer("access_key_id", "The id of the tenant's access key", None),
        ask.answer("access_key_secret", "The secret of the tenant's access key", None),
    )


def _print_next_steps(file: Path, answers: Answers) -> None:
    """Print the commands that follow, each with its purpose."""
    simulated = is_loopback(urlsplit(answers.cxone.issuer).hostname or "")
    steps = [
        *([("sipbridge simulate", "a simulated CXone")] if simulated else []),
        *([("sipbridge agent", "a small voice agent")] if "127.0.0.1:9200/" in answers.agent else []),
        (f"sipbridge doctor {shlex.quote(str(file))}", "finds what is wrong, here and with the peers"),
        (f"sipbridge run {shlex.quote(str(file))}", "the bridge"),
        (f"sipbridge call {shlex.quote(str(file))}", "a test call through it"),
    ]
    width, style = max(len(command) for command, _ in steps) + 2, Style.of_output()
    click.echo("\nNext, each in a terminal of its own:\n")
    for command, purpose in steps:
        click.echo(f"  {style.bold}{command:{width}}{style.plain}{style.dim}# {purpose}{style.plain}")
