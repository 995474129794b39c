"""Signatures that take a round trip: asked for in threads, so that no duty cycle waits, and taken by the duty
cycle when they are there. Gate, latch, life and lookup tables are then looked at again.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from hft.chain.rpc_parse import LatestBlockhash
from hft.chain.signers import Signer, SignerError
from hft.chain.transaction import SignedTransaction
from hft.services.building import Builder
from hft.services.outcome import End, refused
from hft.services.pretrade import PreTrade
from hft.services.submissions import Submissions, Work
from hft.wire.enums import ExecutionReason

AT_ONCE: Final = 8
"""Round trips at a time; what is asked for beyond that waits, and the plan's life runs on."""
ONE_SIGNATURE: Final = b"\x01"


class Asked(NamedTuple):
    """A message under way to be signed. ``view``: the plan's own bytes."""

    work: Work
    message: bytes
    latest: LatestBlockhash
    view: bytes


Submit = Callable[[Work, SignedTransaction, LatestBlockhash, bytes], None]


class RemoteSigning:
    """See the module. Bounded by the gate: what is asked for counts as an open plan."""

    def __init__(self, signer: Signer, builder: Builder, gate: PreTrade, work: Submissions) -> None:
        self._signer = signer
        self._builder, self._gate, self._work = builder, gate, work
        self._threads = ThreadPoolExecutor(AT_ONCE, "signer")
        self._told: deque[tuple[Asked, SignedTransaction | End]] = deque()
        self.under_way = 0

    def ask(self, work: Work, latest: LatestBlockhash, view: bytes, slot: int) -> None:
        """Has a plan that passed the gate built and signed; ``poll`` tells. One that can't be built ends."""
        message = self._builder.message(work.plan, latest.blockhash, slot)
        if isinstance(message, End):
            self._work.finish(work, message)
            return
        self._work.hold(work)
        self.under_way += 1
        self._threads.submit(self._sign, Asked(work, message, latest, view))

    def poll(self, submit: Submit, slot: int) -> int:
        """Submits what is signed by now and may still go, ends the rest; never waits."""
        count = len(self._told)
        for _ in range(count):
            asked, told = self._told.popleft()
            self.under_way -= 1
            self._work.release(asked.work)
            judged = told if isinstance(told, End) else self._judge(asked.work, told, slot)
            if isinstance(judged, End):
                self._work.finish(asked.work, judged)
            else:
                submit(asked.work, judged, asked.latest, asked.view)
        return count

    def close(self) -> None:
        """Nothing more is asked; what is under way ends with its own time limit, unheard."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        close: Any = getattr(self._signer, "close", None)
        if close is not None:
            close()

    def _judge(self, work: Work, signed: SignedTransaction, slot: int) -> SignedTransaction | End:
        refusal = self._gate.refusal(work.plan)
        if refusal is not None:
            return refused(refusal.reason, f"{refusal.observed} against {refusal.limit}")
        return self._builder.check(signed.data, slot) or signed

    def _sign(self, asked: Asked) -> None:
        told: SignedTransaction | End
        try:
            signature = self._signer.sign(asked.message)
            told = SignedTransaction(ONE_SIGNATURE + signature + asked.message, signature)
        except SignerError as error:
            told = refused(ExecutionReason.SIGNING_FAILED, str(error))
        except Exception as error:  # a library's own: the plan gets its one result all the same
            told = refused(ExecutionReason.SIGNING_FAILED, type(error).__name__)
        self._told.append((asked, told))
