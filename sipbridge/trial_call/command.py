"""The command `sipbridge call`: its options."""

from __future__ import annotations

from pathlib import Path

import click

from sipbridge.command_line import STANDARD_INPUT, read_token, reads_config
from sipbridge.config import ListenUrl
from sipbridge.telephony.dtmf import DTMF_DIGITS, are_dtmf_digits

from .target import Given


@click.command()
@click.option("--client", metavar="ID", help="The id of the client, if the file has several voice agents.")
@click.option("--project", metavar="ID", help="The id of the project, if the file has several voice agents.")
@click.option("--number", metavar="N", help="The number to dial, if not the client's first.")
@click.option("--token", metavar="T", help="The token, if the file has only its hash; - reads standard input.")
@click.option(
    "--key", envvar="SIPBRIDGE_API_KEY", show_envvar=True, help="An API key, if the file has only hashes of them."
)
@click.option("--sip", metavar="URL", help="udp://HOST:PORT, tcp://… or tls://…, if not the first of sip.listen.")
@click.option("--api", metavar="URL", help="The URL of the HTTP API, if not that of http.listen.")
@click.option("--contact-id", metavar="ID", help="A contact of CXone that may get the Signal. By default, none.")
@click.option("--digits", metavar="DIGITS", help="The DTMF digits to send, if not handoff.dtmf_key.")
@click.option("--handoff-seconds", type=float, metavar="S", help="The wait for a handoff: 30 after digits, else none.")
@reads_config
def call(
    file: Path,
    /,
    token: str | None,
    sip: str | None,
    digits: str | None,
    handoff_seconds: float | None,
    **given: str | None,
) -> int:
    """Place one test call through the running bridge, and print its timeline.

    Acts as CXone's trunk and as the caller: listens, speaks, sends DTMF digits, and follows the handoff.
    """
    from .report import place_call  # noqa: PLC0415 (aiohttp would delay each of the other commands)

    if digits and not are_dtmf_digits(digits):
        raise click.BadParameter(f"the value is not made of the DTMF digits {DTMF_DIGITS}.", param_hint="--digits")
    token = read_token() if token == STANDARD_INPUT else token
    return place_call(
        file, Given(token=token, sip=_address(sip), digits=digits, handoff_seconds=handoff_seconds, **given)
    )


def _address(text: str | None) -> ListenUrl | None:
    try:
        return ListenUrl.parse(text) if text else None
    except ValueError as error:
        raise click.BadParameter(f"the value {error}.", param_hint="--sip") from None
