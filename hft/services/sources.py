"""The feed's side of the network: one stepped loop, and in it every source of market data that is set.

Nothing here blocks a duty cycle. A task that ends by an error of ours ends the service: see ``check``.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp

from hft.chain.backoff import BackoffRule
from hft.chain.endpoint import Endpoint, EndpointError, Reach, check_endpoints, open_session
from hft.chain.loop import SteppedLoop
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.chain.subscribe import AccountFeed, AccountSource, FeedEvent
from hft.chain.subscribe_merge import Version, Watch
from hft.chain.subscribe_session import SessionRule
from hft.chain.why import why
from hft.runtime.config import ConfigError
from hft.runtime.endpoints import LIVE, Endpoints, endpoints
from hft.runtime.wallet import wallet_address
from hft.services.pools import Survey, named_pools, survey
from hft.services.references import References, Tell
from hft.services.secret_files import secret_of
from hft.services.simulation_needs import simulation_needs
from hft.services.troubles import place_of
from hft.venues.tokens import TokenError, load_tokens

if TYPE_CHECKING:
    from hft.runtime.context import Context

ASK_AGAIN_S: Final = 0.5
REQUEST_NS: Final = 5_000_000_000
LOOPBACK_INTERVAL_NS: Final = 100_000
"""The local cluster has limits of its own."""
RECONNECT: Final = BackoffRule(50_000_000, 2_000_000_000)


class Accounts(Protocol):
    """The stream of newest versions that a duty cycle polls: see ``AccountFeed``."""

    counts: Counter[str]

    @property
    def waiting(self) -> int: ...
    def poll(self, handler: Callable[[FeedEvent], None], limit: int) -> int: ...
    def watch(self, watches: Sequence[Watch]) -> None: ...
    def unwatch(self, pubkeys: Iterable[bytes]) -> None: ...
    def knows(self, version: Version) -> None: ...


class Loop(Protocol):
    """What runs beside a duty cycle, when it says so."""

    def step(self) -> None: ...
    def wait(self, timeout_ns: int) -> None: ...


class Origin(Protocol):
    """Where the feed's accounts come from: ``Sources``, or a capture."""

    @property
    def accounts(self) -> Accounts: ...
    @property
    def loop(self) -> Loop: ...
    @property
    def found(self) -> Survey | None: ...
    @property
    def silences(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def survey_failures(self) -> int: ...
    @property
    def reference_failures(self) -> int: ...
    @property
    def troubles(self) -> Mapping[str, str]: ...
    def start(self) -> None: ...
    def connect(self, tell: Tell) -> None: ...
    def check(self) -> None: ...
    def close(self) -> None: ...


class Sources:
    """See the module. ``accounts`` is polled by the duty cycle; ``found``: what the start-up survey gave."""

    def __init__(self, ctx: "Context") -> None:
        """Opens no connection yet. ``HftError`` CONFIG: addresses, pools or tokens that can't be right."""
        config = ctx.config
        self._named = named_pools(config)
        try:
            self._listed = load_tokens()
        except TokenError as error:
            raise ConfigError([str(error)]) from error
        self._live = config.hft.mode == LIVE
        places = endpoints(ctx.run)
        self.loop = SteppedLoop()
        self.accounts = AccountFeed((), wake=self.loop.wake)
        self.http = self.loop.run(_session(places.reach))
        nodes, sockets = _nodes(places)
        self.rpc = RpcClient(self.http, nodes, clock_ns=ctx.clock.monotonic_ns)
        rule = SessionRule(config.feed.stale_after_ms * 1_000_000, REQUEST_NS, backoff=RECONNECT)
        self._sources: list[Any] = [
            AccountSource(
                places.reach, socket, self.rpc, self.accounts, rule, clock_ns=ctx.clock.monotonic_ns
            )
            for socket in sockets
        ]
        if config.chain.yellowstone_url:
            self._sources.append(_yellowstone(ctx, places.reach, self.rpc, self.accounts))
        self._references = References(config.feed, places.reach, self._listed, ctx.clock.monotonic_ns)
        self._start_wait_ns = config.feed.start_wait_ms * 1_000_000
        self.found: Survey | None = None
        self.survey_failures = 0
        self._untold: dict[str, str] = {}
        self._besides = simulation_needs(ctx.config, wallet_address(ctx.run))

    @property
    def silences(self) -> int:
        """Connections given up because nothing came."""
        return sum(source.lost["silent"] for source in self._sources)

    @property
    def failures(self) -> int:
        """Connections that failed, for whatever reason."""
        return sum(source.lost.total() for source in self._sources)

    @property
    def reference_failures(self) -> int:
        """Questions to Jupiter and Pyth that got no answer."""
        return self._references.failures

    @property
    def troubles(self) -> Mapping[str, str]:
        """Source → why it tells nothing now, of those alone that don't."""
        failed = {place_of(source.endpoint): source.why for source in self._sources if source.why}
        return failed | self._references.troubles | self._untold

    def start(self) -> None:
        """Looks for the pools, and waits a while for what is found; ``ConfigError`` if one that is named
        can't be right."""
        looking = self.loop.spawn(self._look())
        self.loop.run(_at_most(looking, self._start_wait_ns))
        self.check()

    def connect(self, tell: Tell) -> None:
        """Has every source go live with what is watched by now; ``tell`` gets prices from outside."""
        for work in self._references.tasks(self.http, tell):
            self.loop.spawn(work)
        for source in self._sources:
            self.loop.spawn(source.run())

    def check(self) -> None:
        """Raises what a task ended by, if one did."""
        if self.loop.failures:
            raise self.loop.failures[0]

    def close(self) -> None:
        """Ends every connection."""
        self.loop.close(self.http.close())

    async def _look(self) -> None:
        while self.found is None:
            try:
                self.found = await survey(self.rpc, self._named, self._listed, self._besides, live=self._live)
                self._untold = {}
            except RpcFault as fault:
                self.survey_failures += 1
                before = next(iter(self._untold.values()), "")
                self._untold = dict.fromkeys(self._asked(fault), why(fault, before))
                await asyncio.sleep(ASK_AGAIN_S)
        self.loop.wake()

    def _asked(self, fault: RpcFault) -> list[str]:
        """The nodes that a fault names."""
        nodes = [state.endpoint for state in self.rpc.states]
        return [place_of(node) for node in nodes if node.name in fault.endpoint.split(", ")]


def _yellowstone(ctx: "Context", reach: Reach, rpc: RpcClient, accounts: AccountFeed) -> Any:
    chain, key = ctx.config.chain, "[chain] yellowstone_url"
    try:
        from hft.chain.yellowstone import GeyserSource
    except ImportError as error:
        raise ConfigError([f"{key}: needs the extra: pip install 'hft[yellowstone]'"]) from error
    file = chain.yellowstone_token_file
    token = (("x-token", secret_of(file, "[chain] yellowstone_token_file")),) if file else ()
    endpoint = Endpoint("yellowstone", chain.yellowstone_url, headers=token)
    try:
        check_endpoints([endpoint], reach)
    except EndpointError as error:
        raise ConfigError([f"{key}: {error}"]) from error
    return GeyserSource(endpoint, reach, rpc, accounts, clock_ns=ctx.clock.monotonic_ns)


async def _session(reach: Reach) -> aiohttp.ClientSession:
    return open_session(reach)


async def _at_most(task: "asyncio.Task[None]", ns: int) -> None:
    await asyncio.wait({task}, timeout=ns / 1e9)


def _nodes(places: Endpoints) -> tuple[Sequence[Endpoint], Sequence[Endpoint]]:
    """Endpoints of JSON-RPC and of WebSockets. As many of one as of the other are taken for the same nodes,
    in order, so that each stream's snapshots come from its own node."""
    paired = len(places.rpc_urls) == len(places.ws_urls)
    nodes = [Endpoint(f"node{number}", url) for number, url in enumerate(places.rpc_urls)]
    if places.reach is Reach.LOOPBACK:
        nodes = [node._replace(interval_ns=LOOPBACK_INTERVAL_NS, burst=1_000) for node in nodes]
    kind = "node" if paired else "socket"
    sockets = [Endpoint(f"{kind}{number}", "", url) for number, url in enumerate(places.ws_urls)]
    return check_endpoints(nodes, places.reach), check_endpoints(sockets, places.reach)
