"""``hft``: one program, one module a command."""

import importlib
import re
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Annotated, NamedTuple

import typer
from rich.console import Console

import ringbuf
from hft.runtime.exit_codes import ExitCode, HftError, exit_code_of


class Command(NamedTuple):
    """Where a command's function is."""

    module: str
    function: str


COMMANDS: Mapping[str, Command] = {
    "start": Command("hft.cli.start", "start"),
    "run": Command("hft.cli.run", "run"),
    "shm": Command("hft.cli.shm", "shm"),
    "monitor": Command("hft.cli.monitor", "monitor"),
    "check": Command("hft.cli.check", "check"),
    "profile": Command("hft.cli.profile", "profile"),
    "status": Command("hft.cli.status", "status"),
    "kill": Command("hft.cli.kill", "kill"),
    "resume": Command("hft.cli.resume", "resume"),
    "command": Command("hft.cli.command", "command"),
    "stop": Command("hft.cli.stop", "stop"),
    "tail": Command("hft.cli.tail", "tail"),
    "streams": Command("hft.cli.streams", "streams"),
    "bridge": Command("hft.cli.bridge", "run"),
    "topology": Command("hft.cli.topology", "show"),
    "export": Command("hft.cli.export", "export"),
    "capture": Command("hft.cli.capture", "capture"),
    "replay": Command("hft.cli.replay", "replay"),
    "quote": Command("hft.cli.quote", "quote"),
    "pools": Command("hft.cli.pools", "pools"),
    "arb": Command("hft.cli.arb", "arb"),
    "keys": Command("hft.cli.keys", "keys"),
    "inspect": Command("hft.cli.inspect", "inspect"),
    "schema": Command("hft.cli.schema", "schema"),
    "install-systemd": Command("hft.cli.install_systemd", "install_systemd"),
    "simnet": Command("hft.cli.simnet", "simnet"),
    "programs": Command("hft.cli.programs", "programs"),
}


GROUPS = ("shm", "command", "streams", "keys", "programs")
"""Commands that are nothing without one of their own."""
NOISE = (
    ("Value error, ", ""),
    ("Input should be", "it must be"),
    (", unable to parse string as a number", ""),
    (", unable to parse string as an integer", ""),
)
"""What a person does not need of typer's messages."""
FILE_LISTS = ("--market", "--accounts")


def application(names: list[str]) -> typer.Typer:
    """The program with some of its commands."""
    app = typer.Typer(
        name="hft",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        callback=_program,
    )
    for name in names:
        command = COMMANDS[name]
        found = getattr(importlib.import_module(command.module), command.function)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name)
        else:
            app.command(name)(found)
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hft {version('hft')}")
        raise typer.Exit


def _program(
    _told: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Solana two-hop arbitrage: pinned processes over shared memory, paper mode against a local cluster."""


def expand_lists(arguments: list[str]) -> list[str]:
    """``--market A B C`` → ``--market A --market B --market C``: options that take files until the next
    option."""
    expanded: list[str] = []
    collecting = ""
    for argument in arguments:
        if argument.startswith("-"):
            collecting = argument if argument in FILE_LISTS else ""
        elif collecting and expanded[-1] != collecting:
            expanded.append(collecting)
        expanded.append(argument)
    return expanded


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. An expected failure is one clear line on standard error, never a
    traceback.

    Only the command's own module is loaded: a kill must not wait for what it does not need.
    """
    if len(arguments) == 1 and arguments[0] in GROUPS:
        arguments = [*arguments, "--help"]
    wanted = [arguments[0]] if arguments and arguments[0] in COMMANDS else list(COMMANDS)
    try:
        code = application(wanted)(
            expand_lists(arguments) or ["--help"], standalone_mode=False, prog_name="hft"
        )
    except HftError as error:
        complain(str(error))
        return int(error.code)
    except ringbuf.RingError as error:
        complain(str(error))
        return int(exit_code_of(error))
    except typer.TyperException as error:
        complain(refusal(error.format_message(), arguments))
        return int(ExitCode.CONFIG)
    except typer.Abort:
        return int(ExitCode.FAILURE)
    except BrokenPipeError:
        sys.stderr.close()
        return int(ExitCode.OK)
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        return int(ExitCode.FAILURE)
    return int(code or 0)


def refusal(said: str, arguments: list[str]) -> str:
    """What typer said of wrong arguments, with the value that was given, and where help is."""
    for noise, word in NOISE:
        said = said.replace(noise, word)
    named = re.match(r"Invalid value for '(--[\w-]+)': ", said)
    if named and named[1] in arguments[:-1]:
        given = arguments[arguments.index(named[1]) + 1]
        what = said[named.end() :]
        said = f"{named[1]}: {what}" if repr(given) in what else f"{named[1]} {given}: {what}"
    known = [name for name in arguments[:1] if name in COMMANDS]
    if known and known[0] in (*GROUPS, "simnet") and not said.startswith("No such command"):
        known += [name for name in arguments[1:2] if not name.startswith("-")]
    return f"{said.rstrip('.')} ({' '.join(('hft', *known, '--help'))} lists what there is)"


def complain(message: str) -> None:
    """Each line of an error after the word, in red where there is a terminal."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    for line in message.splitlines():
        console.print("error:", style="bold red", end=" ")
        console.print(line)


def main() -> None:
    """Entry point of the ``hft`` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
