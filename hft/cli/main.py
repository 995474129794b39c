"""``hft``: one program, one module a command."""

import sys

import typer
from rich.console import Console

import ringbuf
from hft.cli import inspect, kill, resume, schema, start, status, stop, topology
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.runner import exit_code_of

app = typer.Typer(
    name="hft",
    help="Solana two-hop arbitrage: pinned processes over shared memory, paper mode against a local cluster.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("start")(start.start)
app.command("status")(status.status)
app.command("kill")(kill.kill)
app.command("resume")(resume.resume)
app.command("stop")(stop.stop)
app.command("topology")(topology.show)
app.command("inspect")(inspect.inspect)
app.command("schema")(schema.schema)


def expand_lists(arguments: list[str]) -> list[str]:
    """``--market A B C`` → ``--market A --market B --market C``: an option that takes files until the next
    option."""
    expanded: list[str] = []
    collecting = False
    for argument in arguments:
        if argument.startswith("-"):
            collecting = argument == "--market"
        elif collecting and expanded[-1] != "--market":
            expanded.append("--market")
        expanded.append(argument)
    return expanded


def run(arguments: list[str]) -> int:
    """Run one command; its exit code. An expected failure is one clear line on standard error, never a
    traceback."""
    try:
        code = app(expand_lists(arguments) or ["--help"], standalone_mode=False, prog_name="hft")
    except HftError as error:
        complain(str(error))
        return int(error.code)
    except ringbuf.RingError as error:
        complain(str(error))
        return int(exit_code_of(error))
    except typer.TyperException as error:
        complain(f"{error.format_message()} (hft --help lists commands and options)")
        return int(ExitCode.CONFIG)
    except typer.Abort:
        return int(ExitCode.FAILURE)
    except BrokenPipeError:
        sys.stderr.close()
        return int(ExitCode.OK)
    return int(code or 0)


def complain(message: str) -> None:
    """Each line of an error after the word, in red where there is a terminal."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    for line in message.splitlines():
        console.print(f"[bold red]error:[/bold red] {line.replace('[', chr(92) + '[')}")


def main() -> None:
    """Entry point of the ``hft`` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
