"""The commands. An error is one line on standard error, with exit code 2 for wrong usage and 1 otherwise."""

from __future__ import annotations

import os
import secrets
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import click
from multidict import CIMultiDict, CIMultiDictProxy

from sipbridge import __version__
from sipbridge.calls.routing import route
from sipbridge.command_line import STANDARD_INPUT, read_token, reads_config
from sipbridge.config import (
    SAFE_CHARACTERS,
    Config,
    HostPort,
    ProjectConfig,
    VoiceProjectConfig,
    hash_secret,
    is_hash,
    load_config,
)
from sipbridge.doctor.command import doctor
from sipbridge.errors import ConfigError, InviteRefused, SipbridgeError, StartupError
from sipbridge.first_config.command import init
from sipbridge.telephony.dtmf import DTMF_DIGITS, are_dtmf_digits
from sipbridge.terminal import Style
from sipbridge.trial_call.command import call

_WEBHOOK_SECRET = "SIPBRIDGE_WEBHOOK_SECRET"  # noqa: S105 (the name of a variable)


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit code."""
    try:
        code = cli.main(arguments, prog_name="sipbridge", standalone_mode=False)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "sipbridge"
        return _fail(f"{error.format_message()} See {path} --help.", code=2)
    except click.ClickException as error:
        return _fail(error.format_message(), code=error.exit_code)
    except click.Abort:
        return _fail("interrupted", code=1)
    except ConfigError as error:
        style = Style.of_output(sys.stderr)
        for problem in error.problems:
            where, colon, what = problem.partition(":")
            click.echo(f"{style.red}{where}{colon}{style.plain}{what}", err=True)
        return 1
    except SipbridgeError as error:
        return _fail(str(error), code=1)
    return code if isinstance(code, int) else 0


def _fail(message: str, *, code: int) -> int:
    style = Style.of_output(sys.stderr)
    click.echo(f"{style.red}sipbridge:{style.plain} {' '.join(message.split())}", err=True)
    return code


@click.group(no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sipbridge", message="%(prog)s %(version)s")
def cli() -> None:
    """Hand callers off between NICE CXone and voice AI agents."""


for command in (init, doctor, call):
    cli.add_command(command)


@cli.command()
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "text"]),
    default="auto",
    show_default=True,
    help="The format of log lines on standard error; auto is text on a terminal, json otherwise.",
)
@reads_config
def run(file: Path, log_format: str) -> int:
    """Run the bridge until SIGINT (Ctrl-C) or SIGTERM. A second signal ends the remaining calls at once."""
    # Its default action ends the process. During the start it requests a reload, which then follows.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        from sipbridge.app.service import main as run_service  # noqa: PLC0415 (only this command needs PJSIP)
    except ModuleNotFoundError as error:
        if error.name != "sipbridge_pjsip":
            raise
        raise StartupError(
            "PJSIP's Python module, sipbridge_pjsip, is not installed; install the release's wheel of it, or run "
            "`make setup` in a clone"
        ) from None
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    return run_service(file, "text" if text else "json")


@cli.command()
@reads_config
def check(file: Path) -> int:
    """Check that a bridge can run with a configuration on this machine, as this user.

    Prints the clients and projects of FILE and warnings, or everything that is wrong with it.
    """
    from sipbridge.app.preflight import find_all_warnings, place, read_config  # noqa: PLC0415 (route-test does not need it)

    config, style = read_config(file), Style.of_output()
    click.echo(f"{file}: {style.green}valid{style.plain}")
    for client_id, client in config.clients.items():
        numbers = len(client.pseudo_numbers)
        click.echo(f"  client {client_id}: {numbers} pseudo number{'' if numbers == 1 else 's'}")
        for project_id, project in client.projects.items():
            click.echo(f"    project {project_id}: {'; '.join(_described(project))}")
    for warning in find_all_warnings(config):
        click.echo(f"{place(file, config, warning)}: {style.yellow}warning:{style.plain} {warning}")
    return 0


def _described(project: ProjectConfig) -> Iterator[str]:
    """Describe the voice agent and the chat channels of a project."""
    if isinstance(project, VoiceProjectConfig):
        yield f"{project.agent.type} agent, hands off to {', '.join(project.handoff.destinations)}"
    if project.chat is not None:
        channels = (f"{name} ({channel.type})" for name, channel in project.chat.channels.items())
        yield f"chat, hands off over {', '.join(channels)}"


@cli.command("route-test")
@click.option("--number", required=True, metavar="N", help="The dialled number, or the user part of a SIP URI.")
@click.option("--token", metavar="T", help="The token that the INVITE would carry; - reads standard input.")
@reads_config
def route_test(file: Path, number: str, token: str | None) -> int:
    """Show which project a call would reach.

    Prints the client and the project of a call to N with token T, or why there is none.
    """
    if token == STANDARD_INPUT:
        token = read_token()
    if token is not None and is_hash(token):
        raise click.UsageError(
            "The token is a hash; give the token that it was made from, as a Studio script sends it."
        )
    config = load_config(file)
    try:
        found = route(config, [number], _headers_with(config, token))
    except InviteRefused as refusal:
        return _fail(f"refused with {refusal.sip_status} {refusal.reason}: {refusal}", code=1)
    click.echo(f"client {found.client}, project {found.project}")
    return 0


def _headers_with(config: Config, token: str | None) -> CIMultiDictProxy[str]:
    """Return headers with the token under the header name of every project."""
    headers: CIMultiDict[str] = CIMultiDict()
    if token is not None:
        for _, project in config.voice_projects():
            headers[project.headers.auth_token] = token
    return CIMultiDictProxy(headers)


@cli.command()
@click.option(
    "--listen", default="127.0.0.1:9100", show_default=True, metavar="HOST:PORT", help="The address to listen on."
)
@click.option("--quiet", is_flag=True, help="Print no line per token, Signal, transcript and chat event.")
def simulate(listen: str, *, quiet: bool) -> int:
    """Simulate CXone for tests. Prints each token, Signal, transcript, chat event and rejected request."""
    address = _address(listen)
    from sipbridge.simulators.cxone import main as run_simulator  # noqa: PLC0415 (only this command needs it)

    return run_simulator(address.host, address.port, quiet=quiet)


@cli.command()
@click.option(
    "--listen", default="127.0.0.1:9200", show_default=True, metavar="HOST:PORT", help="The address to listen on."
)
@click.option(
    "--keys",
    default="0",
    show_default=True,
    metavar="KEYS",
    help="The DTMF digits with which a caller requests a human agent.",
)
@click.option("--destination", metavar="NAME", help="The destination of the handoff, if not the default.")
@click.option("--reason", metavar="WORD", help="The reason of the handoff.")
@click.option("--utterance", metavar="TEXT", help="The last words to the caller before the handoff.")
def agent(listen: str, keys: str, **handoff: str | None) -> int:
    """Run a small voice agent to try a bridge with.

    Speaks Twilio Media Streams over a WebSocket: greets the caller, echoes, and hands off after the DTMF digits KEYS.
    """
    address = _address(listen)
    if not are_dtmf_digits(keys):
        raise click.BadParameter(f"the value is not made of the DTMF digits {DTMF_DIGITS}.", param_hint="--keys")
    from sipbridge.simulators.echo_agent import main as run_agent  # noqa: PLC0415 (only this command needs it)

    given = {name: text for name, text in handoff.items() if text is not None}
    return run_agent(address.host, address.port, keys, given)


@cli.command()
@click.option(
    "--listen", default="127.0.0.1:9300", show_default=True, metavar="HOST:PORT", help="The address of the page."
)
@click.option(
    "--bridge", default="http://127.0.0.1:8080", show_default=True, metavar="URL", help="The URL of the bridge's API."
)
@click.option("--client", required=True, metavar="ID", help="The id of the client in the bridge's configuration.")
@click.option("--project", required=True, metavar="ID", help="The id of the project, which has a chat section.")
@click.option("--key", required=True, envvar="SIPBRIDGE_API_KEY", show_envvar=True, help="An API key of the project.")
@click.option("--channel", metavar="NAME", help="The channel to hand off to, if not the default.")
def bot(listen: str, bridge: str, client: str, project: str, key: str, channel: str | None) -> None:
    """Run a small chat bot with a web page to try a bridge with.

    It repeats what the customer writes, and hands the chat to a human agent if asked for a person.
    """
    address = _address(listen)
    from sipbridge.simulators import echo_bot  # noqa: PLC0415 (only this command needs it)

    echo_bot.main(address.host, address.port, echo_bot.make_app(bridge, key, client, project, channel))


def _address(listen: str) -> HostPort:
    try:
        return HostPort.parse(listen)
    except ValueError as error:
        raise click.BadParameter(f"the value {error}.", param_hint="--listen") from None


@cli.command("hash-token")
@click.argument("token", required=False)
@click.option("--generate", is_flag=True, help="Generate a random token and print it with its hash.")
def hash_token(token: str | None, *, generate: bool) -> int:
    """Hash a token or key.

    Reads TOKEN, or a line of standard input, and prints the hash, which auth_token and api_keys accept instead of it.
    """
    if generate:
        if token is not None:
            raise click.UsageError("Give either TOKEN or --generate.")
        made = secrets.token_urlsafe(32)
        click.echo(f"token: {made}\nhash:  {hash_secret(made)}")
        return 0
    text = read_token() if token in (None, STANDARD_INPUT) else token
    try:
        hashed = hash_secret(text)
    except ValueError as error:
        raise click.UsageError(f"The token {error}.") from None
    if len(text) < SAFE_CHARACTERS:
        style = Style.of_output(sys.stderr)
        risk = f"a token under {SAFE_CHARACTERS} characters can be guessed from its hash"
        click.echo(f"sipbridge: {style.yellow}warning:{style.plain} {risk}", err=True)
    click.echo(hashed)
    return 0


@cli.command("webhook-verify")
@click.argument("body", type=click.File("rb"), default=STANDARD_INPUT)
@click.option("--timestamp", required=True, metavar="SECONDS", help="The value of X-Sipbridge-Timestamp.")
@click.option("--signature", required=True, metavar="TEXT", help="The value of X-Sipbridge-Signature.")
@click.option(
    "--secret-file", type=click.File("rb"), help="The file with the secret, or else SIPBRIDGE_WEBHOOK_SECRET has it."
)
@click.option("--any-age", is_flag=True, help="Accept an old timestamp, that of a request that was saved.")
def webhook_verify(
    body: BinaryIO, timestamp: str, signature: str, secret_file: BinaryIO | None, *, any_age: bool
) -> int:
    """Check the signature of a webhook's request, and say what is wrong with it.

    Reads the body from the file BODY, or from standard input.
    """
    from sipbridge.webhooks import find_fault  # noqa: PLC0415 (only this command needs it)

    secret = secret_file.read().removesuffix(b"\n").removesuffix(b"\r") if secret_file else _secret_of_environment()
    now = None if any_age else datetime.now(UTC)
    fault = find_fault(secret, timestamp.strip(), signature.strip(), body.read(), now)
    if fault:
        return _fail(f"not valid: {fault}", code=1)
    style = Style.of_output()
    click.echo(f"{style.green}valid{style.plain}")
    return 0


def _secret_of_environment() -> bytes:
    secret = os.environ.get(_WEBHOOK_SECRET, "").encode()
    if not secret:
        raise click.UsageError(f"Give the secret: --secret-file FILE, or the environment variable {_WEBHOOK_SECRET}.")
    return secret
