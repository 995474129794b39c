"""The local cluster by itself: no pipeline, no state folder; ``hft simnet``."""

import signal
import time
from collections.abc import Callable
from types import FrameType

from hft.runtime import settings as setting
from hft.simnet.cluster import Cluster
from hft.simnet.doors import HOST, Doors
from hft.simnet.market import load_market

REPORT_NS = 10_000_000_000
LONGEST_STEP_NS = 100_000_000


class Alone:
    """A cluster with its HTTP door, stepped until it is told to stop."""

    def __init__(self, settings: setting.Simnet, say: Callable[[str], None]) -> None:
        """``say`` gets a line for each thing worth telling."""
        self._say = say
        self._market = load_market(settings.market)
        self.cluster = Cluster(settings, self._market)
        self.doors = Doors(self.cluster)
        self._stop = False

    def open(self) -> int:
        """Opens the door; its port."""
        port = self.doors.open(self.cluster.settings.port)
        bank, programs = self.cluster.bank, len(self.cluster.programs)
        for note in self._market.notes:
            self._say(f"note: {note}")
        if self.doors.grpc_port >= 0:
            self._say(f"Yellowstone gRPC on {HOST}:{self.doors.grpc_port}")
        priced = f"{programs} venue programs in the SVM" if programs else "swaps priced and settled"
        self._say(
            f"listening on http://{HOST}:{port} (JSON-RPC, WebSocket, block engine), seed "
            f"{self.cluster.settings.seed}, slot {bank.slot}, {len(bank.pools)} pools, {priced}; "
            f"wallet {self.cluster.wallet.pubkey()}"
        )
        return port

    def stop(self, *_: int | FrameType | None) -> None:
        """Ends ``run`` at the next step; a signal handler."""
        self._stop = True

    def run(self) -> None:
        """Runs until SIGINT, SIGTERM or ``stop``."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.stop)
        begin_ns = report_ns = time.monotonic_ns()
        self.cluster.start(begin_ns)
        try:
            while not self._stop:
                self.step()
                now_ns = time.monotonic_ns()
                if now_ns - report_ns >= REPORT_NS:
                    report_ns = now_ns
                    self._say(self._line((now_ns - begin_ns) // 1_000_000_000))
        finally:
            self._say(self._line((time.monotonic_ns() - begin_ns) // 1_000_000_000))
            self.doors.close()
        self._say("stopped")

    def step(self) -> None:
        """One move: what is due on the cluster, and what is ready at the door."""
        self.cluster.advance(time.monotonic_ns())
        left_ns = self.cluster.due_ns() - time.monotonic_ns()
        self.doors.step(max(0, min(left_ns, LONGEST_STEP_NS)))

    def _line(self, seconds: int) -> str:
        cluster = self.cluster
        flow, rival = cluster.flow.counts, cluster.rival.counts
        landed = cluster.outcomes["landed_ok"], cluster.outcomes["landed_failed"]
        return (
            f"{seconds} s: slot {cluster.bank.slot}, {flow.noise + flow.rebalancing} swaps of others, rival "
            f"{rival.won} of {rival.bids} bids, {landed[0]} landed, {landed[1]} failed, "
            f"{self.doors.served} requests, {self.doors.subscriptions} subscriptions"
        )
