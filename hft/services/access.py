"""The executor's way to the chain: clients by the settings, watchers, desk and journal, all on one stepped
loop in the executor's own thread.

Paper mode opens sockets to loopback only, by construction; a dry run has a rehearsal where a sender would be.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import aiohttp
from solders.pubkey import Pubkey

from hft.chain.desk import Desk, DeskEvent
from hft.chain.endpoint import Endpoint, check_endpoints, open_session
from hft.chain.follow import Follower, FollowTimes
from hft.chain.jito import JitoClient
from hft.chain.journal import Journal, JournalWriter, Resign
from hft.chain.journal_records import Intent, JournalError
from hft.chain.lookup import TableCache
from hft.chain.loop import SteppedLoop
from hft.chain.rehearsal import Rehearsal
from hft.chain.rpc import RpcClient
from hft.chain.submit import Sender, SendRule, Submitter
from hft.chain.subscribe_signatures import SignatureSource
from hft.chain.watchers import Watchers
from hft.runtime.endpoints import Endpoints, endpoints
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.intents import OWN_CLUSTER, folder_of
from hft.services.nodes import MILLISECOND_NS, engines_of, nodes_of, watch_times
from hft.wire.enums import EndState

if TYPE_CHECKING:
    from hft.runtime.context import Context

CLOSE_LIMIT_S: Final = 2.0

COUNTERS: tuple[str, ...] = (
    "chain_rpc_requests",
    "chain_rpc_faults",
    "chain_jito_requests",
    "chain_jito_faults",
    "chain_fallbacks",
    "chain_journal_faults",
    "chain_read_faults",
    "chain_watch_faults",
    "chain_stale_blockhashes",
    "chain_subscriptions_lost",
    "chain_task_failures",
    "priority_fee_micro_lamports",
    "tip_floor_lamports",
)
"""Gauges of what the clients counted; the last two: what lands, as the network tells it (0: not known)."""


class Access:
    """See the module."""

    def __init__(self, ctx: "Context", wallet: bytes) -> None:
        """Opens the journal and the sockets' session; asks nothing yet. ``HftError`` when an address or the
        journal can't be used."""
        self._ctx = ctx
        self._settings = ctx.config.chain
        self.loop = SteppedLoop()
        self.orphans: list[Journal] = []
        found = endpoints(ctx.run)
        self.writer = JournalWriter(self._journal(), ctx.step_aside)
        tables = TableCache(bytes(Pubkey.from_string(key)) for key in self._settings.lookup_tables)
        self.loop.run(self._open(found, wallet, tables))
        # A duty cycle asks these, most often for nothing: without a call of ours in between.
        self.step: Callable[[], None] = self.loop.step
        self.poll: Callable[[Callable[[DeskEvent], None], int], int] = self.desk.poll
        self.is_doomed: Callable[[bytes], bool] = self.desk.follower.is_doomed
        """Whether a signature under way will hardly land."""
        for work in (*self.desk.tasks(), *self.watchers.tasks()):
            self.loop.spawn(work)

    async def _open(self, found: Endpoints, wallet: bytes, tables: TableCache) -> None:
        chain, clock_ns = self._settings, self._ctx.clock.monotonic_ns
        self._http: aiohttp.ClientSession = open_session(found.reach)
        nodes = check_endpoints(nodes_of(found, chain), found.reach)
        self.rpc = RpcClient(self._http, nodes, clock_ns=clock_ns)
        engines = engines_of(found, self._ctx.config)
        self.jito = JitoClient(self._http, engines, clock_ns=clock_ns) if engines else None
        floors = [Endpoint("tip-floor", url) for url in found.tip_floor_urls]
        self.watchers = Watchers(
            self.rpc,
            self.jito,
            JitoClient(self._http, floors, clock_ns=clock_ns) if floors else None,
            (wallet,),
            tables,
            watch_times(chain),
            clock_ns=clock_ns,
        )
        by_bundle = self.jito if chain.method == "jito" else None
        times = FollowTimes(chain.status_poll_ms * MILLISECOND_NS, chain.bundle_poll_ms * MILLISECOND_NS)
        follower = Follower(
            self.rpc,
            by_bundle,
            times=times,
            newest=lambda: self.watchers.blockhashes.newest,
            clock_ns=clock_ns,
            wake=self.loop.wake,
        )
        sources = [
            SignatureSource(found.reach, Endpoint(f"signatures-{place}", "", url), follower)
            for place, url in enumerate(found.ws_urls, 1)
        ]
        self.desk = Desk(
            self.rpc,
            self.writer,
            follower,
            self._sender(by_bundle),
            sources,
            self.loop.hand,
            clock_ns=clock_ns,
            wake=self.loop.wake,
        )

    @property
    def sending(self) -> int:
        """Submissions whose bytes may not be written yet."""
        return self.desk.sender.unwritten

    @property
    def newest_slot(self) -> int:
        """The newest slot that a subscription told."""
        return self.desk.newest_slot

    @property
    def cut_bytes(self) -> int:
        """Bytes of a torn tail that were cut off the journal."""
        return self.writer.journal.cut_bytes

    def recover(self) -> list[Intent]:
        """What a predecessor left open on this chain; from now on it is followed."""
        return [known.intent for known in self.desk.recover()]

    def lost(self) -> list[Intent]:
        """What was left open on local clusters that are gone."""
        return [known.intent for journal in self.orphans for known in journal.open.values()]

    def may_sign(self, plan_id: bytes) -> bool:
        """Whether the journal knows nothing of this plan."""
        return self.writer.journal.may_sign(plan_id) is Resign.FIRST

    def submit(self, intent: Intent, expires_ns: int) -> None:
        """Sends and follows; ``poll`` tells."""
        self.desk.submit(intent, expires_ns)

    def wait(self, timeout_ns: int) -> None:
        """Sleeps on the sockets."""
        self.loop.wait(timeout_ns)

    def forget(self, intent: Intent, state: EndState) -> None:
        """The result is where it can't be lost: the journal may note the end."""
        for journal in self.orphans:
            if intent.plan_id in journal.open:
                journal.end(intent, state)
                return
        self.desk.forget(intent, state)

    def show(self) -> None:
        """Gauges of what the clients counted."""
        counters, desk, watchers = self._ctx.counters, self.desk, self.watchers
        floor = watchers.tip_floor
        percentile = int(self._settings.tip_floor_percentile)
        jito = self.jito.states if self.jito is not None else ()
        figures = {
            "chain_rpc_requests": sum(state.requests for state in self.rpc.states),
            "chain_rpc_faults": sum(state.faults for state in self.rpc.states),
            "chain_jito_requests": sum(state.requests for state in jito),
            "chain_jito_faults": sum(state.faults for state in jito),
            "chain_fallbacks": desk.sender.fallbacks,
            "chain_journal_faults": desk.counts["journal_faults"],
            "chain_read_faults": desk.counts["read_faults"] + desk.counts["read_malformed"],
            "chain_watch_faults": watchers.faults.total(),
            "chain_stale_blockhashes": watchers.blockhashes.stale,
            "chain_subscriptions_lost": desk.subscriptions_lost,
            "chain_task_failures": len(self.loop.failures),
            "priority_fee_micro_lamports": watchers.fees.price(),
            "tip_floor_lamports": 0 if floor is None else floor.landed.get(percentile, 0),
        }
        for name, value in figures.items():
            counters.set(counters.index(name), value)

    def close(self) -> None:
        """Lets the disk take what was noted, ends every task and socket."""
        deadline_ns = self._ctx.clock.monotonic_ns() + int(CLOSE_LIMIT_S * 1e9)
        while self.desk.unnoted and self._ctx.clock.monotonic_ns() < deadline_ns:
            self.loop.wait(MILLISECOND_NS)
        self.loop.run(self._http.close())
        self.loop.close()
        self.writer.close()
        for journal in self.orphans:
            journal.close()

    def bury(self) -> None:
        """Takes away the journals of clusters that are gone, once everything in them has its end."""
        for journal in [one for one in self.orphans if not one.open]:
            journal.remove()
            self.orphans.remove(journal)

    def _sender(self, jito: JitoClient | None) -> Sender:
        chain = self._settings
        if self._ctx.config.hft.mode == "live" and chain.dry_run == "on":
            return Rehearsal(self.rpc)
        rule = SendRule(limit_ns=chain.send_limit_ms * MILLISECOND_NS, attempts=chain.send_attempts)
        control = self._ctx.control
        return Submitter(
            self.rpc,
            jito,
            self.writer,
            lambda: bool(control.latch),
            rule,
            clock_ns=self._ctx.clock.monotonic_ns,
        )

    def _journal(self) -> Journal:
        """The journal of this chain; those of local clusters that are gone are left to ``orphans``."""
        folder = folder_of(self._ctx.run)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            gone = [one for one in folder.parent.glob(f"{OWN_CLUSTER}*") if one != folder]
            self.orphans = [Journal(one) for one in sorted(gone)]
            return Journal(folder)
        except OSError as error:
            raise HftError(f"{folder}: {error.strerror}", ExitCode.STATE_FOLDER) from error
        except JournalError as error:
            raise HftError(str(error), ExitCode.STATE_FOLDER) from error
