"""The local cluster as a process: its market and its door, one duty cycle at a time.

The door is JSON-RPC, WebSocket and block engine over loopback HTTP, its port in ``simnet.port``. Each
submission leaves a line in ``settlement.jsonl``: when it came (monotonic), its signature, its outcome.
"""

import json
import os
import sys
from typing import Final

from solders.signature import Signature

from hft.chain.svm_envelope import Refusal
from hft.runtime.context import Context
from hft.runtime.endpoints import GRPC_PORT_FILE, PORT_FILE
from hft.runtime.exit_codes import ExitCode, HftError
from hft.runtime.state import write_atomic
from hft.simnet.cluster import Cluster, Listener
from hft.simnet.doors import PARTINGS, Doors
from hft.simnet.events import NO_INDEX, Outcome, SettlementStatus
from hft.simnet.market import Market, load_market

SETTLEMENT_LOG: Final = "settlement.jsonl"
GENESIS_FILE: Final = "simnet.run"

COUNTERS: tuple[str, ...] = (
    "in_submissions",
    "landed_ok",
    "landed_failed",
    *(f"rejected_{refusal.name.lower()}" for refusal in Refusal),
    "rejected_other",
    "queued_submissions",
    "unlogged_submissions",
    "account_updates",
    "slot",
    "slots",
    "flow_noise",
    "flow_rebalancing",
    "flow_refused",
    "rival_bids",
    "rival_won",
    "standstills",
    "requests",
    "subscriptions",
    *(f"clients_{parting}" for parting in PARTINGS),
    "pools",
    "accounts",
)
HISTOGRAMS: tuple[str, ...] = ("settle_ns", "landing_ns")

_REJECTED: Final = {refusal.value: f"rejected_{refusal.name.lower()}" for refusal in Refusal}


def build(ctx: Context) -> "Simnet":
    """The local cluster of a run: loads the market; the doors open in ``on_start``.

    ``MarketError`` if an account file is no market.
    """
    return Simnet(ctx, load_market(ctx.config.simnet.market))


class Simnet(Listener):
    """See the module. ``wait`` sleeps until a client, a slot, a swap or a submission is due."""

    def __init__(self, ctx: Context, market: Market) -> None:
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._run = ctx.run
        self._market = market
        self._cluster = Cluster(ctx.config.simnet, market, ctx.clock.monotonic_ns)
        self._bank = self._cluster.bank
        self._cluster.listeners.append(self)
        self._doors: Doors | None = None
        self._log = -1
        index = ctx.counters.index
        self._in = index("in_submissions")
        self._unlogged = index("unlogged_submissions")
        self._outcomes = {name: index(name) for name in COUNTERS if name.startswith(("landed_", "rejected_"))}
        self._settle_ns = ctx.counters.histogram_index("settle_ns")
        self._landing = ctx.counters.histogram_index("landing_ns")

    def on_start(self) -> None:
        """Opens the log and the door; market time begins.

        ``HftError`` if one can't be opened, or if this run had a cluster before: its accounts went with
        it, and one that starts anew would contradict what the run's services and ledger know.
        """
        for note in self._market.notes:
            sys.stderr.write(f"simnet: {note}\n")
        self._open_log()
        self._doors = Doors(self._cluster)
        port = self._doors.open(self._cluster.settings.port)
        # Whoever waits for the port finds the other one told already, or none of an earlier run.
        if self._doors.grpc_port >= 0:
            write_atomic(self._run.state_dir / GRPC_PORT_FILE, f"{self._doors.grpc_port}\n")
        else:
            (self._run.state_dir / GRPC_PORT_FILE).unlink(missing_ok=True)
        write_atomic(self._run.state_dir / PORT_FILE, f"{port}\n")
        self._cluster.start(self._clock.monotonic_ns())

    def do_work(self) -> int:
        """Serves clients, executes what is due, moves the market on: a bounded number of events."""
        if self._doors is None:
            return 0
        served = self._doors.served
        self._doors.step(0)
        return self._doors.served - served + self._cluster.advance(self._clock.monotonic_ns())

    def wait(self, timeout_ns: int) -> None:
        """Sleeps until something is to be done, at most ``timeout_ns``."""
        if self._doors is not None:
            left_ns = min(timeout_ns, self._cluster.due_ns() - self._clock.monotonic_ns())
            self._doors.step(max(0, left_ns))

    def pending(self) -> int:
        """Submissions that wait for their execution."""
        return self._cluster.queued

    def on_housekeeping(self, now_ns: int) -> None:
        """Shows gauges."""
        counters, cluster = self._counters, self._cluster
        flow, rival = cluster.flow.counts, cluster.rival.counts
        gauges = {
            "queued_submissions": cluster.queued,
            "slot": self._bank.slot,
            "slots": cluster.slots,
            "standstills": cluster.standstills,
            "flow_noise": flow.noise,
            "flow_rebalancing": flow.rebalancing,
            "flow_refused": flow.refused,
            "rival_bids": rival.bids,
            "rival_won": rival.won,
            "pools": len(self._bank.pools),
            "accounts": len(self._bank.accounts),
            "account_updates": cluster.updates,
        }
        if self._doors is not None:
            gauges["requests"], gauges["subscriptions"] = self._doors.served, self._doors.subscriptions
            gauges |= {f"clients_{parting}": self._doors.partings[parting] for parting in PARTINGS}
        for name, value in gauges.items():
            counters.set(counters.index(name), value)

    def on_close(self) -> None:
        """Closes the door and the log."""
        if self._doors is not None:
            self._doors.close()
            self._doors = None
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def on_outcome(self, status: SettlementStatus, size: int, received_ns: int, settle_ns: int) -> None:
        """Every submission's outcome, whichever door it came through: to the log, and counted."""
        self._counters.add(self._in)
        name = "rejected_other"
        if status.outcome is Outcome.REJECTED:
            name = _REJECTED.get(status.error_name, name)
        else:
            name = status.outcome.name.lower()
        self._counters.add(self._outcomes[name])
        if status.error_name != Refusal.OVERLOADED:
            self._counters.record(self._settle_ns, settle_ns)
            self._counters.record(self._landing, self._clock.monotonic_ns() - received_ns)
        line = {
            "monotonic_ns": received_ns,
            "run": self._run.run_id8,
            "signature": str(Signature(status.signature)),
            "outcome": status.outcome.name.lower(),
            "slot": status.slot,
            "error_index": None if status.error_index == NO_INDEX else status.error_index,
            "error_code": status.error_code,
            "error_name": status.error_name,
            "fee_lamports": status.fee_lamports,
            "bytes": size,
        }
        try:
            os.write(self._log, json.dumps(line).encode() + b"\n")
        except OSError:
            self._counters.add(self._unlogged)

    def _publish(self) -> None:
        self._cluster.publish()

    def _open_log(self) -> None:
        path = self._run.state_dir / SETTLEMENT_LOG
        genesis = self._run.state_dir / GENESIS_FILE
        run_id = self._run.run_id.hex()
        try:
            lost = genesis.exists() and genesis.read_text("utf-8") == run_id
            genesis.write_text(run_id, "utf-8")
            self._log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HftError(f"{path}: can't be written: {error.strerror}", ExitCode.STATE_FOLDER) from error
        if lost:
            raise HftError(
                f"the local cluster of run {self._run.run_id8} ended, with its accounts: start a new run",
                ExitCode.SERVICE_FAILED,
            )
