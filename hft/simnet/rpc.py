"""What every JSON-RPC method of the local cluster shares: a node's view of the chain, parameters, errors."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from solders.pubkey import Pubkey
from solders.signature import Signature

from hft.simnet.bank import Block
from hft.simnet.cluster import Cluster
from hft.simnet.ledger import DEPTHS, Commitment
from hft.venues import Account

API_VERSION: Final = "2.3.7"
FEATURE_SET: Final = 3_640_012_085

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
PREFLIGHT_FAILURE: Final = -32002
SIGNATURE_FAILURE: Final = -32003
BLOCK_NOT_AVAILABLE: Final = -32004
NODE_UNHEALTHY: Final = -32005
SLOT_SKIPPED: Final = -32007
UNSUPPORTED_VERSION: Final = -32015
MIN_CONTEXT_SLOT: Final = -32016

Params = Sequence[Any]
Config = Mapping[str, Any]


class RpcError(Exception):
    """A JSON-RPC error: code, message, data (``None``: none)."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data


class View:
    """The chain as one node shows it: a lagging one knows nothing newer than some slots ago."""

    def __init__(self, cluster: Cluster, node: str = "") -> None:
        """``node``: the name in the address, "" for the cluster's main node."""
        self.cluster = cluster
        self.bank = cluster.bank
        self.node = node
        fault = cluster.faults.find("lagging_node", node) if cluster.faults.standing else None
        self.lag = fault.slots if fault is not None else 0

    def slot(self, commitment: Commitment = Commitment.PROCESSED) -> int:
        """The newest slot with a block that this node knows at a commitment."""
        slot = self.bank.slot - self.lag - DEPTHS[commitment]
        return slot if slot >= self.bank.slot else self.bank.block_at(slot).slot

    def block(self, commitment: Commitment) -> Block:
        """The newest block this node knows at a commitment."""
        return self.bank.block_at(self.slot(commitment))

    def account(self, pubkey: bytes, commitment: Commitment) -> Account:
        """The account at a commitment."""
        return self.bank.account_at(pubkey, self.slot(commitment))

    def answer(self, commitment: Commitment, value: Any) -> dict[str, Any]:
        """``value`` with its context."""
        return {"context": {"apiVersion": API_VERSION, "slot": self.slot(commitment)}, "value": value}

    def begin(self, config: Config) -> Commitment:
        """The commitment asked for; RpcError MIN_CONTEXT_SLOT if the node is not that far yet."""
        level = commitment(config)
        wanted = config.get("minContextSlot")
        if wanted is not None and integer(wanted, "minContextSlot") > self.slot(level):
            raise RpcError(
                MIN_CONTEXT_SLOT,
                "Minimum context slot has not been reached",
                {"contextSlot": self.slot(level)},
            )
        return level


Method = Callable[[View, Params], Any]


def commitment(config: Config, field: str = "commitment") -> Commitment:
    """The commitment a config names; finalized if it names none."""
    name = config.get(field, "finalized")
    if not isinstance(name, str) or name.upper() not in Commitment.__members__:
        raise RpcError(INVALID_PARAMS, f"Invalid params: unknown commitment {name!r:.40}.")
    return Commitment[name.upper()]


def config_at(params: Params, at: int) -> Config:
    """The config object at a place, empty if there is none; what is null counts as not given."""
    found = params[at] if len(params) > at and params[at] is not None else {}
    if not isinstance(found, dict):
        raise RpcError(INVALID_PARAMS, f"Invalid params: expected an object at {at}, not {found!r:.60}.")
    return {name: value for name, value in found.items() if value is not None}


def required(params: Params, at: int) -> Any:
    """The parameter at a place."""
    if len(params) <= at:
        raise RpcError(INVALID_PARAMS, f"`params` should have at least {at + 1} argument(s)")
    return params[at]


def pubkey(value: Any) -> bytes:
    """A base58 key."""
    try:
        return bytes(Pubkey.from_string(value))
    except (ValueError, TypeError) as error:
        raise RpcError(INVALID_PARAMS, f"Invalid param: {value!r:.60} is no key: {error}") from error


def signature(value: Any) -> bytes:
    """A base58 signature."""
    try:
        return bytes(Signature.from_string(value))
    except (ValueError, TypeError) as error:
        raise RpcError(INVALID_PARAMS, f"Invalid param: {value!r:.100} is no signature: {error}") from error


def integer(value: Any, what: str) -> int:
    """A non-negative integer."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**64:
        raise RpcError(INVALID_PARAMS, f"Invalid params: {what} {value!r:.40} is no u64.")
    return value


def sequence(value: Any, what: str, most: int) -> list[Any]:
    """A list of at most ``most``."""
    if not isinstance(value, list):
        raise RpcError(INVALID_PARAMS, f"Invalid params: {what} must be a list, not {value!r:.40}.")
    if len(value) > most:
        raise RpcError(INVALID_PARAMS, f"Too many inputs provided; max {most}")
    return value
