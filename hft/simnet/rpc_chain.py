"""JSON-RPC methods about slots, blocks, blockhashes and the node."""

import hashlib
from typing import Any, Final

from solders.hash import Hash
from solders.message import Message, MessageV0, from_bytes_versioned
from solders.pubkey import Pubkey

from hft.chain.svm import SLOTS_PER_EPOCH
from hft.chain.trackers import BLOCKHASH_LIFE
from hft.chain.transaction import LAMPORTS_PER_SIGNATURE
from hft.simnet.encoding import meta_json, transaction_json
from hft.simnet.ledger import Commitment
from hft.simnet.rpc import (
    API_VERSION,
    BLOCK_NOT_AVAILABLE,
    FEATURE_SET,
    INVALID_PARAMS,
    NODE_UNHEALTHY,
    SLOT_SKIPPED,
    Method,
    Params,
    RpcError,
    View,
    commitment,
    config_at,
    integer,
    pubkey,
    required,
    sequence,
)
from hft.simnet.wire_bytes import decoded

UNHEALTHY_SLOTS: Final = 128
MAX_FEE_ADDRESSES: Final = 128
MAX_BLOCKS: Final = 500_000


def get_latest_blockhash(view: View, params: Params) -> Any:
    """``getLatestBlockhash``: it dies once the block height passes ``lastValidBlockHeight``."""
    level = view.begin(config_at(params, 0))
    block = view.block(level)
    value = {
        "blockhash": str(Hash(block.blockhash)),
        "lastValidBlockHeight": block.height + BLOCKHASH_LIFE,
    }
    return view.answer(level, value)


def is_blockhash_valid(view: View, params: Params) -> Any:
    """``isBlockhashValid``"""
    try:
        wanted = bytes(Hash.from_string(required(params, 0)))
    except (ValueError, TypeError) as error:
        raise RpcError(INVALID_PARAMS, f"Invalid param: no blockhash: {error}") from error
    level = view.begin(config_at(params, 1))
    block = view.block(level)
    height = view.bank.blockhashes.get(wanted)
    valid = height is not None and height <= block.height <= height + BLOCKHASH_LIFE
    return view.answer(level, valid)


def get_block_height(view: View, params: Params) -> Any:
    """``getBlockHeight``"""
    return view.block(view.begin(config_at(params, 0))).height


def get_slot(view: View, params: Params) -> Any:
    """``getSlot``"""
    return view.slot(view.begin(config_at(params, 0)))


def get_epoch_info(view: View, params: Params) -> Any:
    """``getEpochInfo``"""
    level = view.begin(config_at(params, 0))
    slot = view.slot(level)
    return {
        "absoluteSlot": slot,
        "blockHeight": view.block(level).height,
        "epoch": slot // SLOTS_PER_EPOCH,
        "slotIndex": slot % SLOTS_PER_EPOCH,
        "slotsInEpoch": SLOTS_PER_EPOCH,
        "transactionCount": view.cluster.ledger.count,
    }


def get_epoch_schedule(_: View, __: Params) -> Any:
    """``getEpochSchedule``"""
    return {
        "firstNormalEpoch": 0,
        "firstNormalSlot": 0,
        "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
        "slotsPerEpoch": SLOTS_PER_EPOCH,
        "warmup": False,
    }


def get_health(view: View, _: Params) -> Any:
    """``getHealth``: -32005 with ``numSlotsBehind`` on a node that lags."""
    if view.lag >= UNHEALTHY_SLOTS:
        message = f"Node is behind by {view.lag} slots"
        raise RpcError(NODE_UNHEALTHY, message, {"numSlotsBehind": view.lag})
    return "ok"


def get_version(_: View, __: Params) -> Any:
    """``getVersion``"""
    return {"feature-set": FEATURE_SET, "solana-core": API_VERSION}


def get_identity(view: View, _: Params) -> Any:
    """``getIdentity``: one a node."""
    digest = hashlib.sha256(b"hft simnet node " + view.node.encode()).digest()
    return {"identity": str(Pubkey(digest))}


def get_genesis_hash(view: View, _: Params) -> Any:
    """``getGenesisHash``: of the seed; never mainnet's."""
    digest = hashlib.sha256(f"hft simnet genesis {view.cluster.settings.seed}".encode()).digest()
    return str(Hash(digest))


def get_transaction_count(view: View, _: Params) -> Any:
    """``getTransactionCount``: of this cluster's life."""
    return view.cluster.ledger.count


def get_recent_prioritization_fees(view: View, params: Params) -> Any:
    """``getRecentPrioritizationFees``: the least price that landed, slot by slot."""
    asked = sequence(params[0], "addresses", MAX_FEE_ADDRESSES) if params else []
    addresses = frozenset(pubkey(one) for one in asked)
    fees = view.cluster.ledger.fees(addresses, view.slot())
    return [{"slot": slot, "prioritizationFee": price} for slot, price in fees]


def get_fee_for_message(view: View, params: Params) -> Any:
    """``getFeeForMessage``: ``null`` if its blockhash is dead."""
    raw = decoded(required(params, 0), "base64")
    level = view.begin(config_at(params, 1))
    try:
        message = from_bytes_versioned(raw)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, f"Invalid params: no message: {error}") from error
    if not isinstance(message, Message | MessageV0):
        raise RpcError(INVALID_PARAMS, "Invalid params: legacy and version 0 are taken")
    if not view.bank.knows_blockhash(bytes(message.recent_blockhash)):
        return view.answer(level, None)
    return view.answer(level, LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures)


def get_block_time(view: View, params: Params) -> Any:
    """``getBlockTime``"""
    slot = integer(required(params, 0), "slot")
    _check_block(view, slot, view.slot(Commitment.PROCESSED))
    return view.bank.blocks[slot].unix_timestamp


def get_blocks(view: View, params: Params) -> Any:
    """``getBlocks``: slots with a block in a range."""
    first = integer(required(params, 0), "start slot")
    ranged = len(params) > 1 and isinstance(params[1], int)
    level = commitment(config_at(params, 2 if ranged else 1))
    last = view.slot(level)
    if ranged:
        last = min(last, integer(params[1], "end slot"))
    if last - first > MAX_BLOCKS:
        raise RpcError(INVALID_PARAMS, f"Slot range too large; max {MAX_BLOCKS}")
    return [slot for slot in view.bank.blocks if first <= slot <= last]


def get_block(view: View, params: Params) -> Any:
    """``getBlock``: confirmed or finalized; -32007 for a slot without a block, -32004 for one not there."""
    slot, config = integer(required(params, 0), "slot"), config_at(params, 1)
    level = commitment(config)
    if level is Commitment.PROCESSED:
        raise RpcError(INVALID_PARAMS, "Method does not support commitment below `confirmed`")
    _check_block(view, slot, view.slot(level))
    block = view.bank.blocks[slot]
    found = {
        "blockHeight": block.height,
        "blockTime": block.unix_timestamp,
        "blockhash": str(Hash(block.blockhash)),
        "parentSlot": block.parent,
        "previousBlockhash": str(Hash(view.bank.block_at(block.parent).blockhash)),
    }
    records = view.cluster.ledger.in_slot(slot)
    details = config.get("transactionDetails", "full")
    if details == "full":
        found["transactions"] = [transaction_json(record, config) for record in records]
    elif details == "signatures":
        found["signatures"] = [str(record.envelope.transaction.signatures[0]) for record in records]
    elif details == "accounts":
        found["transactions"] = [{"meta": meta_json(record)} for record in records]
    elif details != "none":
        raise RpcError(INVALID_PARAMS, f"Invalid params: transactionDetails {details!r:.40}")
    if config.get("rewards", True):
        found["rewards"] = []
    return found


def _check_block(view: View, slot: int, newest: int) -> None:
    blocks = view.bank.blocks
    if slot > newest or slot < next(iter(blocks)):
        raise RpcError(BLOCK_NOT_AVAILABLE, f"Block not available for slot {slot}")
    if slot not in blocks:
        message = f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"
        raise RpcError(SLOT_SKIPPED, message)


METHODS: Final[dict[str, Method]] = {
    "getLatestBlockhash": get_latest_blockhash,
    "isBlockhashValid": is_blockhash_valid,
    "getBlockHeight": get_block_height,
    "getSlot": get_slot,
    "getEpochInfo": get_epoch_info,
    "getEpochSchedule": get_epoch_schedule,
    "getHealth": get_health,
    "getVersion": get_version,
    "getIdentity": get_identity,
    "getGenesisHash": get_genesis_hash,
    "getTransactionCount": get_transaction_count,
    "getRecentPrioritizationFees": get_recent_prioritization_fees,
    "getFeeForMessage": get_fee_for_message,
    "getBlockTime": get_block_time,
    "getBlocks": get_blocks,
    "getBlock": get_block,
}
