"""Slots and blockhashes as several nodes tell them. Pure: blocks are counted, never milliseconds."""

from enum import Enum
from typing import Final, NamedTuple

from hft.chain.rpc_parse import LatestBlockhash

SLOTS_KEPT: Final = 512
BLOCKHASH_LIFE: Final = 150
"""Blocks: a fresh blockhash's last valid height lies so far above the height of its own block."""


class SlotNews(NamedTuple):
    """What a slot message changed. ``dead``: slots of which something was told (and those around them) that
    are not on the newest slot's way back to the root."""

    is_new: bool
    dead: frozenset[int]


_NOTHING: Final = SlotNews(False, frozenset())


class SlotTracker:
    """The newest slot, from ``{slot, parent, root}`` messages of any number of nodes.

    The newest slot's line is taken for the chain: what lies between it and its parent is on no fork that it
    builds on. Where that is wrong for a moment (a minor fork shows up first) accounts are asked for once more
    than needed; nothing false is kept.
    """

    def __init__(self) -> None:
        self.newest = 0
        self.root = 0
        self.forks = 0
        self._told = 0

    def told(self, slot: int) -> None:
        """Something else was told of ``slot``; its own message may come later, or be missed."""
        self._told = max(self._told, slot)

    def advance(self, slot: int, parent: int, root: int) -> SlotNews:
        """Takes one message; what is older than the newest slot changes nothing."""
        self.root = max(self.root, root)
        if slot <= self.newest or parent >= slot:
            return _NOTHING
        reached = max(self.newest, min(self._told, slot - 1))
        self.newest = slot
        if reached <= parent:
            return SlotNews(True, frozenset())
        self.forks += 1
        return SlotNews(True, frozenset(range(max(parent + 1, slot - SLOTS_KEPT), slot)))


class HashVerdict(Enum):
    """What to make of a node's blockhash."""

    NEWER = "newer"
    SAME = "same"
    STALE = "stale"
    """The node lags: by its slot, or by its height, behind what is known."""


class BlockhashTracker:
    """The newest blockhash of several nodes, and how many blocks it has left."""

    def __init__(self, lag_limit: int = 8) -> None:
        """``lag_limit``: how many slots, or blocks, a node may be behind the newest known before what it says
        is stale."""
        self._lag_limit = lag_limit
        self.newest: LatestBlockhash | None = None
        self.newest_slot = 0
        self.height = 0
        self.stale = 0

    def on_slot(self, slot: int) -> None:
        """A slot was seen, from any source."""
        self.newest_slot = max(self.newest_slot, slot)

    def on_height(self, height: int) -> None:
        """A block height was told."""
        self.height = max(self.height, height)

    def offer(self, told: LatestBlockhash) -> HashVerdict:
        """Takes a blockhash if it is newer; STALE if the node that gave it lags."""
        known = self.newest
        reached = 0 if known is None else known.last_valid_block_height
        behind = told.slot + self._lag_limit < self.newest_slot
        lower = told.last_valid_block_height + self._lag_limit < reached
        if behind or lower or told.last_valid_block_height < self.height:
            self.stale += 1
            return HashVerdict.STALE
        self.on_slot(told.slot)
        if told.last_valid_block_height > reached:
            self.newest = told
            return HashVerdict.NEWER
        return HashVerdict.SAME

    def blocks_left(self) -> int:
        """Blocks that the newest blockhash is still good for; 0 if there is none."""
        if self.newest is None:
            return 0
        return max(self.newest.last_valid_block_height - self.height, 0)

    def usable(self, minimum_blocks: int) -> LatestBlockhash | None:
        """The newest blockhash, if at least ``minimum_blocks`` are left."""
        return self.newest if self.newest is not None and self.blocks_left() >= minimum_blocks else None
