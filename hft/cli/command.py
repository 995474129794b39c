"""``hft command``: halts instances on other machines over NATS, or asks one to be resumed."""

import asyncio
import contextlib
import getpass
import json
import secrets
import socket
from pathlib import Path
from typing import Annotated, Any

import nkeys
import typer
from nats.aio.client import Client
from nats.aio.msg import Msg
from rich.console import Console

from hft.chain.keystore import KeystoreError, write_private
from hft.cli import options
from hft.cli.nats_access import Url, asked, reach
from hft.runtime.clock import SystemClock
from hft.runtime.commands import ANSWERS, EVERYONE, NONCE_BYTES, Kind, Signed, sign
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_address import check_instance
from hft.runtime.nats_options import Identity, read_seed

command = typer.Typer(
    help="Commands to other machines by NATS: kill, resume, key.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

SenderKey = Annotated[
    Path,
    typer.Option("--sender-key", metavar="FILE", help="NKey seed that signs, mode 0600: hft command key."),
]
Instance = Annotated[
    str, typer.Option("--instance", metavar="NAME", help="[nats] command_instance of one, or all.")
]
Wait = Annotated[float, typer.Option("--wait", metavar="S", min=0.1, max=60, help="Time for answers.")]


@command.command()
def kill(
    sender_key: SenderKey,
    reason: Annotated[
        str, typer.Option("--reason", metavar="WORDS", help="Why; kept with the latch.")
    ] = "by hand",
    instance: Instance = EVERYONE,
    wait_s: Wait = 1.0,
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Halt at once: every instance that listens, or one.

    Sets the kill latch. Exit code 11 when none answered: nothing says then that anything is halted.
    """
    client = reach(url, config, overlay, set_, state_dir).options
    signed = _signed(sender_key, Kind.KILL, instance, reason)
    return _tell(asyncio.run(asked(client, "hft-command", lambda c: _send(c, signed, instance, wait_s))))


@command.command()
def resume(
    sender_key: SenderKey,
    reason: Annotated[
        str, typer.Option("--reason", metavar="WORDS", help="Why it is safe again, for the person there.")
    ],
    instance: Instance = EVERYONE,
    wait_s: Wait = 1.0,
    url: Url = "",
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    set_: options.Sets = None,
    state_dir: options.StateDir = None,
) -> int:
    """Ask for a resume. It stays halted until someone on that machine says hft resume --approve."""
    client = reach(url, config, overlay, set_, state_dir).options
    signed = _signed(sender_key, Kind.RESUME, instance, reason)
    return _tell(asyncio.run(asked(client, "hft-command", lambda c: _send(c, signed, instance, wait_s))))


@command.command()
def key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file for the seed, mode 0600.")],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="What the settings should call it.")
    ] = "operator",
) -> int:
    """Make a sender's key, and show its settings line.

    The line belongs into [nats] command_senders.
    """
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    try:
        write_private(file, seed + b"\n")
    except KeystoreError as error:
        raise HftError(str(error), ExitCode.CONFIG) from None
    typer.echo(f"command_senders = {name}:{Identity(seed).public_key}")
    return int(ExitCode.OK)


def _signed(sender_key: Path, kind: Kind, instance: str, reason: str) -> Signed:
    try:
        check_instance(instance)
    except ValueError as error:
        raise HftError(f"--instance: {error}", ExitCode.CONFIG) from None
    try:
        identity = Identity(read_seed(sender_key.expanduser()))
    except KeystoreError as error:
        raise HftError(f"--sender-key: {error}", ExitCode.CONFIG) from None
    except ValueError as error:
        raise HftError(f"--sender-key: {sender_key}: {error}", ExitCode.CONFIG) from None
    by = f"{getpass.getuser()}@{socket.gethostname()}"
    return sign(
        identity, kind, instance, by, reason, secrets.token_bytes(NONCE_BYTES), SystemClock().unix_ns()
    )


async def _send(client: Client, signed: Signed, instance: str, wait_s: float) -> list[dict[str, Any]]:
    """The answers: the first one of a single instance, of all whatever comes in time."""
    inbox = f"{ANSWERS}.{secrets.token_hex(NONCE_BYTES)}"
    answers: list[dict[str, Any]] = []
    enough = asyncio.Event()

    async def take(message: Msg) -> None:
        # A server that has no listener answers with an empty message.
        if message.data:
            answers.append(json.loads(message.data))
        if instance != EVERYONE or not message.data:
            enough.set()

    await client.subscribe(inbox, cb=take)
    await client.publish(signed.subject, signed.message, reply=inbox, headers=signed.headers)
    await client.flush(5)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(enough.wait(), wait_s)
    return answers


def _tell(answers: list[dict[str, Any]]) -> int:
    if not answers:
        raise HftError(
            "no instance answered: none listens there, or none has this key in [nats] command_senders; "
            "nothing says that anything was done",
            ExitCode.NATS,
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    for answer in answers:
        words = str(answer["result"]).replace("_", " ")
        console.print(f"{answer['instance']}: {words if answer['accepted'] else f'refused, {words}'}")
    return int(ExitCode.OK if all(answer["accepted"] for answer in answers) else ExitCode.FAILURE)
