"""``hft simnet``: the local cluster by itself, and faults on demand for one that runs."""

import json
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from hft.cli import options
from hft.runtime.exit_codes import ExitCode, HftError
from hft.simnet.faults import EXPLAINED

TIMEOUT_S = 10.0
simnet = typer.Typer(
    help="Run a local Solana cluster, or make faults on one.", rich_markup_mode=None, add_completion=False
)


@simnet.callback(invoke_without_command=True)
def run(
    context: typer.Context,
    market: Annotated[
        list[Path] | None,
        typer.Option("--market", metavar="FILE…", help="Account files; default: [simnet] market."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Seed of market and wallet.")
    ] = None,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=0, max=65_535, help="Loopback port; 0: a free one.")
    ] = 8899,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            "--grpc-port",
            metavar="PORT",
            min=-1,
            max=65_535,
            help="Yellowstone gRPC; 0: a free one, -1: none.",
        ),
    ] = None,
    programs: Annotated[
        Path | None, typer.Option("--programs", metavar="DIR", help="Folder of <program id>.so files.")
    ] = None,
    config: options.ConfigFile = None,
    overlay: options.Overlays = None,
    sets: options.Sets = None,
) -> int:
    """Run a local cluster until SIGINT or SIGTERM: JSON-RPC, WebSocket and block engine on loopback."""
    if context.invoked_subcommand is not None:
        return int(ExitCode.OK)
    from hft.simnet.alone import Alone

    settings = options.load_config(config, overlay, sets).simnet
    settings = replace(settings, port=port)
    if market:
        settings = replace(settings, market=tuple(str(file) for file in market))
    if seed is not None:
        settings = replace(settings, seed=seed)
    if grpc_port is not None:
        settings = replace(settings, grpc_port=grpc_port)
    if programs is not None:
        settings = replace(settings, programs=str(programs))
    alone = Alone(settings, lambda line: print(f"simnet: {line}", flush=True))
    alone.open()
    alone.run()
    return int(ExitCode.OK)


@simnet.command("fault")
def fault(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help=f"list, clear, or one of: {', '.join(EXPLAINED)}")
    ],
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65_535, help="The cluster's port.")
    ] = 8899,
    node: Annotated[str, typer.Option("--node", metavar="NAME", help="Only requests to this node.")] = "",
    method: Annotated[str, typer.Option("--method", metavar="NAME", help="Only this JSON-RPC method.")] = "",
    times: Annotated[
        int, typer.Option("--times", metavar="N", min=0, help="How often; 0: until cleared.")
    ] = 1,
    ms: Annotated[int, typer.Option("--ms", metavar="MS", min=0, help="latency: how much.")] = 0,
    slots: Annotated[int, typer.Option("--slots", metavar="N", min=0, help="How many slots.")] = 0,
    status: Annotated[int, typer.Option("--status", metavar="N", help="server_error: HTTP status.")] = 503,
    code: Annotated[int, typer.Option("--code", metavar="N", help="rpc_error: its code.")] = -32005,
) -> int:
    """Make something go wrong on a running cluster.

    list shows what does, clear ends it.
    """
    if kind not in ("list", "clear", *EXPLAINED):
        raise HftError(f"{kind!r} is no fault; there are {', '.join(EXPLAINED)}", ExitCode.CONFIG)
    if kind == "list":
        answer = _ask(port, "GET", None)
    elif kind == "clear":
        answer = _ask(port, "DELETE", None)
    else:
        wanted = {
            "kind": kind,
            "node": node,
            "method": method,
            "times": times,
            "ms": ms,
            "slots": slots,
            "status": status,
            "code": code,
        }
        answer = _ask(port, "POST", wanted)
    print(json.dumps(answer, indent=2))
    return int(ExitCode.OK)


def _ask(port: int, method: str, body: dict[str, Any] | None) -> Any:
    url = f"http://127.0.0.1:{port}/admin/faults"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise HftError(json.loads(error.read())["error"], ExitCode.CONFIG) from error
    except OSError as error:
        reason = getattr(error, "reason", error)
        told = getattr(reason, "strerror", None) or reason
        raise HftError(
            f"no local cluster answers at {url}: {told} (--port names another)", ExitCode.NOT_RUNNING
        ) from error
