"""What the executor asks of a chain: sockets to a cluster (``access``), or a replay's own settlement."""

from collections.abc import Callable, Iterable
from typing import Protocol

from hft.chain.desk import DeskEvent
from hft.chain.journal_records import Intent
from hft.chain.lookup import TableCache
from hft.chain.rpc_parse import LatestBlockhash
from hft.chain.tips import TipAccounts
from hft.chain.watchers import Funds
from hft.wire.enums import EndState


class Known(Protocol):
    """What is known of the chain by now."""

    tables: TableCache
    tip_accounts: TipAccounts
    funds: dict[bytes, Funds]

    @property
    def slot(self) -> int:
        """The newest slot."""

    @property
    def reachable(self) -> bool:
        """Whether any node answered lately."""

    def blockhash(self) -> LatestBlockhash | None:
        """What to sign with now; None if nothing fresh enough is known."""


class ChainAccess(Protocol):
    """See the module. Nothing blocks but ``wait`` and ``close``."""

    @property
    def watchers(self) -> Known:
        """What is known of the chain."""

    @property
    def sending(self) -> int:
        """Submissions whose bytes may not be written yet."""

    @property
    def newest_slot(self) -> int:
        """The newest slot that anybody told."""

    @property
    def cut_bytes(self) -> int:
        """Bytes of a torn tail that were cut off the journal."""

    def recover(self) -> Iterable[Intent]:
        """What a predecessor left open; from now on it is followed."""

    def lost(self) -> Iterable[Intent]:
        """What a predecessor left open on a chain that is gone."""

    def may_sign(self, plan_id: bytes) -> bool:
        """Whether the journal knows nothing of this plan."""

    def is_doomed(self, signature: bytes) -> bool:
        """Whether a signature under way will hardly land."""

    def submit(self, intent: Intent, expires_ns: int) -> None:
        """Sends and follows; ``poll`` tells."""

    def step(self) -> None:
        """Runs whatever is ready."""

    def poll(self, handler: Callable[[DeskEvent], None], limit: int) -> int:
        """What became of submissions, oldest first."""

    def wait(self, timeout_ns: int) -> None:
        """Sleeps until something comes from the chain."""

    def forget(self, intent: Intent, state: EndState) -> None:
        """The result is where it can't be lost: the journal may note the end."""

    def show(self) -> None:
        """Gauges."""

    def bury(self) -> None:
        """Takes away what is left of chains that are gone."""

    def close(self) -> None:
        """Lets the disk take what was noted, ends every task and socket."""
