"""How a command reaches NATS: by ``--url``, by ``[nats] url``, or as the running instance does."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import nats.errors
import typer
from nats.aio.client import Client

from hft.cli import options
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.nats_address import EMBEDDED
from hft.runtime.nats_options import ConnectOptions, connect, connect_options
from hft.runtime.settings import Config

T = TypeVar("T")

Url = Annotated[
    str,
    typer.Option(
        "--url",
        metavar="URL",
        help="NATS at tls://HOST:PORT or nats://127.0.0.1:PORT; default: [nats] url, else the running "
        "instance's.",
    ),
]


class Reached(NamedTuple):
    """Where NATS is, and the settings that led there. ``folder``: of the running instance that was asked,
    None where the address was given."""

    options: ConnectOptions
    config: Config
    folder: Path | None = None


def reach(
    url: str, file: Path | None, overlays: list[Path] | None, sets: list[str] | None, state_dir: Path | None
) -> Reached:
    """Addresses, TLS and who we are. ``HftError``: CONFIG, or NOT_RUNNING when only a running instance would
    know the address and there is none."""
    config = options.with_url(url, file, overlays, sets)
    if config.nats.url == EMBEDDED:
        folder = options.state_folder(state_dir, config)
        run = options.running(folder)
        return Reached(connect_options(run.config.nats, run.nats_url), run.config, folder)
    return Reached(connect_options(config.nats), config)


async def opened(where: ConnectOptions, name: str) -> Client:
    """A connection that ends with its server. ``HftError`` NATS when there is none to be had."""
    last: list[Exception] = []

    async def note(error: Exception) -> None:
        last.append(error)

    try:
        return await connect(
            where,
            name=name,
            error_cb=note,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=5,
        )
    except (OSError, nats.errors.Error, TimeoutError) as error:
        raise unreachable(where, last[-1] if last else error) from error


async def asked(where: ConnectOptions, name: str, question: Callable[[Client], Awaitable[T]]) -> T:
    """The answer to ``question`` from one connection. ``HftError`` NATS when there is none to be had."""
    client = await opened(where, name)
    try:
        return await question(client)
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise unreachable(where, error) from error
    finally:
        await client.close()


def unreachable(where: ConnectOptions, error: BaseException) -> HftError:
    """What a person is told when a server can't be used."""
    told = "nobody listens there" if isinstance(error, ConnectionRefusedError) else str(error) or repr(error)
    return HftError(f"NATS at {where} can't be used: {told}", ExitCode.NATS)
