"""Where the chain is: the addresses a run's services talk to.

Every mode but live knows loopback only: an address set by hand is checked, an empty one means the run's own
local cluster, whose port it writes down once it listens. Live mode has no default: what is missing is named.
"""

from typing import NamedTuple

from hft.chain.endpoint import EndpointError, Reach, check_url
from hft.runtime.context import Run
from hft.runtime.exit_codes import ExitCode, HftError

PORT_FILE = "simnet.port"
GRPC_PORT_FILE = "simnet.grpc_port"
LIVE = "live"
NEEDED = ("rpc_urls", "ws_urls")


class Endpoints(NamedTuple):
    """Addresses, best first. ``reach`` is what sockets may be opened to: in paper mode loopback alone."""

    rpc_urls: tuple[str, ...]
    ws_urls: tuple[str, ...]
    jito_urls: tuple[str, ...]
    tip_floor_urls: tuple[str, ...]
    reach: Reach


def endpoints(run: Run) -> Endpoints:
    """The addresses of ``run``; ``HftError`` CONFIG when one is missing or out of reach, naming its key."""
    chain, live = run.config.chain, run.config.hft.mode == LIVE
    reach = Reach.ANYWHERE if live else Reach.LOOPBACK
    http, ws = (("http", "https"), ("ws", "wss"))
    told = {
        "rpc_urls": (chain.rpc_urls, http, "http://127.0.0.1:{port}"),
        "ws_urls": (chain.ws_urls, ws, "ws://127.0.0.1:{port}"),
        "jito_urls": (chain.jito_urls, http, "http://127.0.0.1:{port}"),
        "tip_floor_url": (tuple(filter(None, (chain.tip_floor_url,))), http, "http://127.0.0.1:{port}"),
    }
    found, wrong = [], []
    for key, (given, schemes, local) in told.items():
        urls = given or ((local.format(port=_port(run)),) if not live else ())
        if not urls and key in NEEDED:
            wrong.append(f"[chain] {key}: live mode needs at least one address")
        for url in urls:
            try:
                check_url(url, schemes, reach, f"[chain] {key}")
            except EndpointError as error:
                wrong.append(str(error))
        found.append(tuple(urls))
    if wrong:
        raise HftError("\n".join(wrong), ExitCode.CONFIG)
    return Endpoints(found[0], found[1], found[2], found[3], reach)


def _port(run: Run) -> int:
    """The port of the run's local cluster, as it wrote it down."""
    file = run.state_dir / PORT_FILE
    try:
        return int(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise HftError(
            f"{file}: the local cluster has not written its port: {error}", ExitCode.SERVICE_FAILED
        ) from error
