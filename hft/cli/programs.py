"""``hft programs``: the venues' real program binaries, for the local cluster."""

from pathlib import Path
from typing import Annotated

import typer
from solders.pubkey import Pubkey

from hft.runtime.exit_codes import ExitCode, HftError

programs = typer.Typer(
    help="The venues' program binaries: fetch.", rich_markup_mode=None, add_completion=False
)


@programs.callback()
def _programs() -> None:
    """Venue program binaries for the local cluster."""


@programs.command("fetch")
def fetch(
    rpc: Annotated[str, typer.Option("--rpc", metavar="URL", help="A Solana RPC; it is only read.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where <program id>.so files go.")],
    program: Annotated[
        list[str] | None,
        typer.Option("--program", metavar="ID", help="Only this program; default: those of all venues."),
    ] = None,
) -> int:
    """Download the venues' programs into a folder.

    From any RPC; the folder is one for hft simnet --programs and [chain] programs.
    """
    from hft.simnet.programs import fetch_program, venue_programs, write_program

    wanted = [_program(one) for one in program or ()] or list(venue_programs())
    for one in wanted:
        elf = fetch_program(rpc, one)
        try:
            path = write_program(out, one, elf)
        except OSError as error:
            raise HftError(f"{out}: can't be written: {error.strerror}", ExitCode.FAILURE) from error
        print(f"{path}: {len(elf)} bytes", flush=True)
    return int(ExitCode.OK)


def _program(text: str) -> bytes:
    try:
        return bytes(Pubkey.from_string(text))
    except ValueError:
        raise HftError(
            f"--program {text}: a program's id, 32 bytes in base58, belongs there", ExitCode.CONFIG
        ) from None
