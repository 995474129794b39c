"""The nodes and block engines of the settings, with the rates that each of them allows."""

from typing import TYPE_CHECKING, Final
from uuid import UUID

from hft.chain.endpoint import Endpoint
from hft.chain.jito import jito_endpoint
from hft.chain.watchers import WatchTimes
from hft.runtime.config import ConfigError
from hft.runtime.endpoints import Endpoints
from hft.services.secret_files import secret_of

if TYPE_CHECKING:
    from hft.runtime.settings import Config
    from hft.runtime.settings_chain import Chain

JITO_DEFAULT_RATE: Final = 1
UNLIMITED: Final = 1_000_000
MILLISECOND_NS: Final = 1_000_000
JITO_AUTH: Final = "[chain] jito_auth_file"


def nodes_of(found: Endpoints, chain: "Chain") -> list[Endpoint]:
    """JSON-RPC nodes, best first."""
    rate = chain.rpc_requests_per_second
    return [
        Endpoint(f"rpc-{place}", url, "", 1_000_000_000 // rate, rate)
        for place, url in enumerate(found.rpc_urls, 1)
    ]


def engines_of(found: Endpoints, config: "Config") -> list[Endpoint]:
    """Block engines, best first; a rate of 0 is Jito's own in live mode, and none on the local cluster.

    ``ConfigError``: the file for ``x-jito-auth`` can't be used.
    """
    rate = config.chain.jito_requests_per_second
    if not rate:
        rate = JITO_DEFAULT_RATE if config.hft.mode == "live" else UNLIMITED
    file = config.chain.jito_auth_file
    auth = _uuid(secret_of(file, JITO_AUTH), file) if file else ""
    return [
        jito_endpoint(f"jito-{place}", url, auth=auth, requests_per_second=rate, burst=min(rate, 1_000))
        for place, url in enumerate(found.jito_urls, 1)
    ]


def _uuid(text: str, file: str) -> str:
    """As Jito gives them out; ``ConfigError`` without a word of what was there instead."""
    try:
        return str(UUID(text))
    except ValueError:
        raise ConfigError([f"{JITO_AUTH}: {file}: its first line is no UUID"]) from None


def watch_times(chain: "Chain") -> WatchTimes:
    """How often each watcher asks."""
    return WatchTimes(
        blockhash_ns=chain.blockhash_poll_ms * MILLISECOND_NS,
        fees_ns=chain.fee_poll_ms * MILLISECOND_NS,
        tips_ns=chain.tip_poll_ms * MILLISECOND_NS,
        balances_ns=chain.balance_poll_ms * MILLISECOND_NS,
    )
