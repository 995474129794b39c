"""The local cluster as a process: market time, order flow, submissions and the socket, one duty
cycle at a time.

Market time runs with the clock from ``on_start``; slots and swaps happen at their times on it, in one order
that depends on nothing but the seed. A process that falls too far behind lets market time stand still rather
than rush. Each submission is executed ``landing_ms`` after it came, in the order of arrival, and leaves a
line in ``settlement.jsonl``: when it came (monotonic), its signature, its outcome.
"""

import errno
import json
import os
import sys
from collections import OrderedDict, deque
from typing import Final, NamedTuple

from solders.signature import Signature

from hft.chain.frames import (
    NO_INDEX,
    BalancesRequest,
    Outcome,
    Request,
    SettlementStatus,
    StatusRequest,
    Submit,
    account_frame,
    balances_frame,
    slot_frame,
    status_frame,
)
from hft.chain.keys import paper_keypair
from hft.runtime.context import Context
from hft.runtime.exit_codes import ExitCode, HftError
from hft.simnet.bank import Bank
from hft.simnet.envelope import Refusal
from hft.simnet.flow import Flow, profile_of
from hft.simnet.genesis import genesis_accounts
from hft.simnet.market import Market, load_market, shipped_profile
from hft.simnet.server import Client, DropReason, Server
from hft.simnet.settlement import Settlement

SETTLEMENT_LOG: Final = "settlement.jsonl"
GENESIS_FILE: Final = "simnet.run"
EVENTS_AT_ONCE: Final = 32
MAX_QUEUED: Final = 4096
MAX_STATUSES: Final = 4096
MAX_BEHIND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000

COUNTERS: tuple[str, ...] = (
    "in_submissions",
    "landed_ok",
    "landed_failed",
    *(f"rejected_{refusal.name.lower()}" for refusal in Refusal),
    "rejected_other",
    "queued_submissions",
    "unlogged_submissions",
    "out_account_updates",
    "slot",
    "slots",
    "flow_noise",
    "flow_rebalancing",
    "flow_refused",
    "standstills",
    "clients",
    "closed_clients",
    *(f"dropped_client_{reason}" for reason in DropReason),
    "unread_bytes",
    "pools",
    "accounts",
)
HISTOGRAMS: tuple[str, ...] = ("settle_ns", "landing_ns")

_REJECTED: Final = {refusal.value: f"rejected_{refusal.name.lower()}" for refusal in Refusal}


class _Submission(NamedTuple):
    """A transaction that waits for its execution."""

    due_ns: int
    received_ns: int
    client: Client
    raw: bytes


def build(ctx: Context) -> "Simnet":
    """The local cluster of a run: loads the market; the socket opens in ``on_start``.

    ``MarketError`` if an account file is no market.
    """
    return Simnet(ctx, load_market(ctx.config.simnet.market))


class Simnet:
    """See the module. ``wait`` sleeps until a client, a slot, a swap or a submission is due."""

    def __init__(self, ctx: Context, market: Market) -> None:
        settings = ctx.config.simnet
        self._clock = ctx.clock
        self._counters = ctx.counters
        self._run = ctx.run
        self._market = market
        self._slot_ns = settings.slot_ms * MILLISECOND_NS
        self._landing_ns = settings.landing_ms * MILLISECOND_NS
        wallet = paper_keypair(settings.seed).pubkey()
        genesis = genesis_accounts(market, wallet, settings.wallet_lamports)
        self._bank = Bank(market, genesis, seed=settings.seed, slot_ms=settings.slot_ms)
        self._settlement = Settlement(self._bank)
        self._flow = Flow(
            self._bank,
            profile_of(shipped_profile()),
            seed=settings.seed,
            swaps_per_second=settings.swaps_per_second,
        )
        if not settings.market:
            # The snapshot's pools were recorded at different moments.
            self._flow.open_market()
            self._bank.take_changes()
        self._queue: deque[_Submission] = deque()
        self._statuses: OrderedDict[bytes, SettlementStatus] = OrderedDict()
        self._server: Server | None = None
        self._log = -1
        self._start_ns = 0
        self._slots = 0
        index = ctx.counters.index
        self._in = index("in_submissions")
        self._out = index("out_account_updates")
        self._unlogged = index("unlogged_submissions")
        self._standstills = index("standstills")
        self._outcomes = {name: index(name) for name in COUNTERS if name.startswith(("landed_", "rejected_"))}
        self._settle_ns = ctx.counters.histogram_index("settle_ns")
        self._landing = ctx.counters.histogram_index("landing_ns")

    def on_start(self) -> None:
        """Opens the log and the socket; market time begins.

        ``HftError`` if either can't be opened, or if this run had a cluster before: its accounts went with
        it, and one that starts anew would contradict what the run's services and ledger know.
        """
        for note in self._market.notes:
            sys.stderr.write(f"simnet: {note}\n")
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
        try:
            self._server = Server(self._run.socket_path, self._on_request)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "another local cluster serves it" if taken else (error.strerror or str(error))
            code = ExitCode.ALREADY_RUNNING if taken else ExitCode.STATE_FOLDER
            raise HftError(f"{self._run.socket_path}: can't be served: {why}", code) from error
        self._start_ns = self._clock.monotonic_ns()

    def do_work(self) -> int:
        """Serves clients, executes what is due, moves the market on; at most ``EVENTS_AT_ONCE`` events."""
        if self._server is None:
            return 0
        done = self._server.poll()
        now_ns = self._clock.monotonic_ns()
        while self._queue and self._queue[0].due_ns <= now_ns:
            self._execute(self._queue.popleft())
            done += 1
        elapsed_ns = now_ns - self._start_ns
        for _ in range(EVENTS_AT_ONCE):
            due_ns = self._next_event_ns()
            if due_ns > elapsed_ns:
                break
            if elapsed_ns - due_ns > MAX_BEHIND_NS:
                self._start_ns += elapsed_ns - due_ns
                elapsed_ns = due_ns
                self._counters.add(self._standstills)
            self._next_event()
            done += 1
        return done

    def wait(self, timeout_ns: int) -> None:
        """Sleeps until something is to be done, at most ``timeout_ns``."""
        if self._server is None:
            return
        due_ns = self._start_ns + self._next_event_ns()
        if self._queue:
            due_ns = min(due_ns, self._queue[0].due_ns)
        self._server.wait(max(0, min(timeout_ns, due_ns - self._clock.monotonic_ns())))

    def pending(self) -> int:
        """Submissions that wait for their execution."""
        return len(self._queue)

    def on_housekeeping(self, now_ns: int) -> None:
        """Shows gauges."""
        counters, flow = self._counters, self._flow.counts
        gauges = {
            "queued_submissions": len(self._queue),
            "slot": self._bank.slot,
            "slots": self._slots,
            "flow_noise": flow.noise,
            "flow_rebalancing": flow.rebalancing,
            "flow_refused": flow.refused,
            "pools": len(self._bank.pools),
            "accounts": len(self._bank.accounts),
        }
        if self._server is not None:
            gauges["clients"] = self._server.clients
            gauges["closed_clients"] = self._server.closed
            gauges["unread_bytes"] = self._server.unread_bytes
            gauges.update((f"dropped_client_{r}", self._server.dropped[r]) for r in DropReason)
        for name, value in gauges.items():
            counters.set(counters.index(name), value)

    def on_close(self) -> None:
        """Closes the socket and the log."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def _next_event_ns(self) -> int:
        return min((self._slots + 1) * self._slot_ns, self._flow.next_ns)

    def _next_event(self) -> None:
        """The market's next event: a slot before a swap that is due at the same time."""
        if self._server is None:
            return
        if (self._slots + 1) * self._slot_ns <= self._flow.next_ns:
            self._slots += 1
            update = self._bank.next_slot()
            self._publish()
            self._server.broadcast_slot(slot_frame(update))
        else:
            self._flow.step()
            self._publish()

    def _publish(self) -> None:
        changes = self._bank.take_changes()
        if changes and self._server is not None:
            self._counters.add(self._out, len(changes))
            self._server.broadcast_accounts(b"".join(account_frame(update) for update in changes))

    def _on_request(self, client: Client, request: Request) -> None:
        if self._server is None:
            return
        if isinstance(request, Submit):
            self._submit(client, request.transaction)
        elif isinstance(request, BalancesRequest):
            self._server.send(client, balances_frame(self._bank.balances(*request)))
        elif isinstance(request, StatusRequest):
            self._server.send(client, status_frame(self._status_of(request.signature)))
        else:
            if request.accounts:
                self._server.send(client, b"".join(account_frame(update) for update in self._bank.snapshot()))
                client.wants_accounts = True
            self._server.send(client, slot_frame(self._bank.slot_update()))
            client.wants_slots = True

    def _status_of(self, signature: bytes) -> SettlementStatus:
        """What was told of a signature, or that nothing can be."""
        known = self._statuses.get(signature)
        if known is not None:
            return known
        pending = any(submission.raw[1:65] == signature for submission in self._queue)
        return self._unexecuted(signature, Outcome.UNKNOWN, "Pending" if pending else "NotFound")

    def _unexecuted(self, signature: bytes, outcome: Outcome, name: str) -> SettlementStatus:
        return SettlementStatus(signature, outcome, self._bank.slot, NO_INDEX, 0, name, 0, 0, 0, 0, ())

    def _submit(self, client: Client, raw: bytes) -> None:
        received_ns = self._clock.monotonic_ns()
        self._counters.add(self._in)
        submission = _Submission(received_ns + self._landing_ns, received_ns, client, raw)
        if len(self._queue) >= MAX_QUEUED:
            signature = bytes(raw[1:65]) if len(raw) >= 65 else bytes(64)
            self._tell(submission, self._unexecuted(signature, Outcome.REJECTED, Refusal.OVERLOADED))
        else:
            self._queue.append(submission)

    def _execute(self, submission: _Submission) -> None:
        begin_ns = self._clock.monotonic_ns()
        status = self._settlement.execute(submission.raw)
        end_ns = self._clock.monotonic_ns()
        self._counters.record(self._settle_ns, end_ns - begin_ns)
        self._counters.record(self._landing, end_ns - submission.received_ns)
        self._publish()
        self._tell(submission, status)

    def _tell(self, submission: _Submission, status: SettlementStatus) -> None:
        """The outcome: to the log first, then to whoever submitted."""
        if status.outcome is not Outcome.REJECTED or status.signature not in self._statuses:
            self._statuses[status.signature] = status
            while len(self._statuses) > MAX_STATUSES:
                self._statuses.popitem(last=False)
        name = "rejected_other"
        if status.outcome is Outcome.REJECTED:
            name = _REJECTED.get(status.error_name, name)
        else:
            name = status.outcome.name.lower()
        self._counters.add(self._outcomes[name])
        line = {
            "monotonic_ns": submission.received_ns,
            "run": self._run.run_id8,
            "signature": str(Signature(status.signature)),
            "outcome": status.outcome.name.lower(),
            "slot": status.slot,
            "error_index": None if status.error_index == NO_INDEX else status.error_index,
            "error_code": status.error_code,
            "error_name": status.error_name,
            "fee_lamports": status.fee_lamports,
            "bytes": len(submission.raw),
        }
        try:
            os.write(self._log, json.dumps(line).encode() + b"\n")
        except OSError:
            self._counters.add(self._unlogged)
        if self._server is not None:
            self._server.send(submission.client, status_frame(status))
