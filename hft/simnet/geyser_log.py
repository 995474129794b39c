"""What a Yellowstone server tells of the cluster: messages slot by slot, kept for streams that take up again.

A message is made once, as the bytes of a ``SubscribeUpdate`` without its filters' names; each stream puts the
names of those of its filters that let it pass before it. Slots beyond ``MAX_SLOTS``, or ``MAX_BYTES`` in all,
are forgotten, oldest first.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from solders.hash import Hash

from hft.chain.generated import geyser_pb2
from hft.simnet.bank import Block
from hft.simnet.events import AccountUpdate
from hft.simnet.ledger import Commitment

pb: Any = geyser_pb2
MAX_SLOTS: Final = 512
MAX_BYTES: Final = 64 << 20
_OVERHEAD: Final = 256


class AccountNews(NamedTuple):
    """An account as it was written."""

    update: AccountUpdate

    @property
    def size(self) -> int:
        """Bytes it holds on to."""
        return len(self.update.data) + _OVERHEAD

    def body(self, data: bytes) -> bytes:
        """The message, with the part of the account's ``data`` that is asked for."""
        told = self.update
        info = pb.SubscribeUpdateAccountInfo(
            pubkey=told.pubkey,
            lamports=told.lamports,
            owner=told.owner,
            rent_epoch=2**64 - 1,
            data=data,
            write_version=told.write_version,
        )
        account = pb.SubscribeUpdateAccount(account=info, slot=told.slot)
        return bytes(pb.SubscribeUpdate(account=account).SerializeToString())


class SlotNews(NamedTuple):
    """What became of a slot."""

    slot: int
    parent: int
    status: int

    @property
    def size(self) -> int:
        """Bytes it holds on to."""
        return _OVERHEAD

    def body(self) -> bytes:
        """The message."""
        slot = pb.SubscribeUpdateSlot(slot=self.slot, parent=self.parent, status=self.status)
        return bytes(pb.SubscribeUpdate(slot=slot).SerializeToString())


class BlockNews(NamedTuple):
    """A block that ended, and how many transactions it holds."""

    block: Block
    parent_hash: bytes
    transactions: int

    @property
    def size(self) -> int:
        """Bytes it holds on to."""
        return _OVERHEAD

    def body(self) -> bytes:
        """The message."""
        block = self.block
        meta = pb.SubscribeUpdateBlockMeta(
            slot=block.slot,
            blockhash=str(Hash(block.blockhash)),
            block_time=pb.UnixTimestamp(timestamp=block.unix_timestamp),
            block_height=pb.BlockHeight(block_height=block.height),
            parent_slot=block.parent,
            parent_blockhash=str(Hash(self.parent_hash)),
            executed_transaction_count=self.transactions,
        )
        return bytes(pb.SubscribeUpdate(block_meta=meta).SerializeToString())


News = AccountNews | SlotNews | BlockNews

STATUS_OF: Final = {
    Commitment.PROCESSED: pb.SLOT_PROCESSED,
    Commitment.CONFIRMED: pb.SLOT_CONFIRMED,
    Commitment.FINALIZED: pb.SLOT_FINALIZED,
}


class GeyserLog:
    """The messages of the newest slots, in the order they were told within each."""

    def __init__(self) -> None:
        self._slots: OrderedDict[int, list[News]] = OrderedDict()
        self._bytes = 0

    @property
    def oldest(self) -> int:
        """The oldest slot that is known whole; 0 before the first."""
        return next(iter(self._slots), 0)

    def begin(self, slot: int) -> None:
        """``slot`` is told of from its beginning."""
        self._slots[slot] = []
        while len(self._slots) > MAX_SLOTS or (self._bytes > MAX_BYTES and len(self._slots) > 1):
            _, gone = self._slots.popitem(last=False)
            self._bytes -= sum(news.size for news in gone)

    def add(self, slot: int, news: News) -> None:
        """A message that belongs to ``slot``; nothing is kept of slots that are not known whole."""
        kept = self._slots.get(slot)
        if kept is not None:
            kept.append(news)
            self._bytes += news.size

    def dead_after(self, slot: int) -> list[int]:
        """Slots after ``slot`` never were: what was told of them is forgotten. Returns them."""
        dead = [past for past in self._slots if past > slot]
        for past in dead:
            self._bytes -= sum(news.size for news in self._slots[past])
            self._slots[past] = []
        return dead

    def of(self, slot: int) -> list[News]:
        """What was told of one slot."""
        return list(self._slots.get(slot, ()))

    def since(self, slot: int) -> Iterator[tuple[int, News]]:
        """(slot, message) of ``slot`` and all later ones."""
        for past, told in self._slots.items():
            if past >= slot:
                for news in told:
                    yield past, news
