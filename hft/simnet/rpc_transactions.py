"""JSON-RPC methods that send, simulate and follow transactions."""

from typing import Any, Final

from solders.hash import Hash
from solders.signature import Signature

from hft.chain.svm_envelope import Refusal
from hft.chain.svm_verdicts import Verdict
from hft.chain.trackers import BLOCKHASH_LIFE
from hft.simnet.details import error_json
from hft.simnet.encoding import meta_json, transaction_json
from hft.simnet.events import Outcome
from hft.simnet.ledger import Commitment, Entry, Record
from hft.simnet.rpc import (
    INVALID_PARAMS,
    NODE_UNHEALTHY,
    PREFLIGHT_FAILURE,
    SIGNATURE_FAILURE,
    Config,
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
    signature,
)
from hft.simnet.rpc_accounts import written
from hft.simnet.settlement import Executed
from hft.simnet.wire_bytes import decoded

MAX_STATUSES: Final = 256
MAX_SIGNATURES: Final = 1000
_INSANE: Final = "invalid transaction: Transaction failed to sanitize accounts offsets correctly"
_CACHE_SLOTS: Final = 150  # statuses of older slots are found with history search only


def send_transaction(view: View, params: Params) -> Any:
    """``sendTransaction``: the signature, which does not mean that it lands."""
    config = config_at(params, 1)
    raw = decoded(required(params, 0), config.get("encoding", "base58"))
    view.begin({"commitment": "processed", "minContextSlot": config.get("minContextSlot")})
    if not config.get("skipPreflight", False):
        _preflight(view, raw, commitment(config, "preflightCommitment"))
    return str(Signature(deliver(view, raw)))


def deliver(view: View, raw: bytes) -> bytes:
    """Hands a transaction to the cluster; its first signature. RpcError INVALID_PARAMS if it has none."""
    first = signature_of(raw)
    if view.cluster.faults.take("dropped_transaction", view.node, "sendTransaction"):
        return first
    view.cluster.submit_now(raw)
    return first


def signature_of(raw: bytes) -> bytes:
    """The first signature of a transaction's bytes."""
    if len(raw) < 65 or not 1 <= raw[0] <= 127:
        raise RpcError(INVALID_PARAMS, f"failed to deserialize a VersionedTransaction: {len(raw)} bytes")
    return raw[1:65]


def _preflight(view: View, raw: bytes, level: Commitment) -> None:
    if view.lag:
        newest = view.block(level).height
        blockhash = _blockhash_of(raw)
        height = view.bank.blockhashes.get(blockhash)
        if height is not None and height > newest:
            raise _failure("BlockhashNotFound", [], 0)
    executed, _ = view.cluster.settlement.try_run(raw, ())
    status = executed.status
    if status.outcome is Outcome.LANDED_OK:
        return
    if status.error_name == Refusal.SIGNATURE_FAILURE:
        raise RpcError(SIGNATURE_FAILURE, "Transaction signature verification failure")
    if status.error_name in (Refusal.MALFORMED, Refusal.TOO_LARGE):
        raise RpcError(INVALID_PARAMS, _INSANE)
    if status.error_name == Refusal.OVERLOADED:
        raise RpcError(NODE_UNHEALTHY, "Node is unhealthy", {"numSlotsBehind": None})
    details, envelope = executed.details, executed.envelope
    logs = details.logs(envelope) if details is not None and envelope is not None else []
    raise _failure(_error(executed), logs, details.units if details is not None else 0)


def _failure(error: Any, logs: list[str], units: int) -> RpcError:
    data = {
        "accounts": None,
        "err": error,
        "innerInstructions": None,
        "loadedAccountsDataSize": 0,
        "logs": logs,
        "replacementBlockhash": None,
        "returnData": None,
        "unitsConsumed": units,
    }
    return RpcError(PREFLIGHT_FAILURE, f"Transaction simulation failed: {_sentence(error)}", data)


def _error(executed: Executed) -> Any:
    """The RPC's JSON of what went wrong, ``None`` if nothing did."""
    if executed.details is not None:
        return executed.details.error
    name = executed.status.error_name
    return error_json(None, Verdict(0, name)) if name else None


def _sentence(error: Any) -> str:
    if error == "BlockhashNotFound":
        return "Blockhash not found"
    if error == "AlreadyProcessed":
        return "This transaction has already been processed"
    if isinstance(error, dict) and "InstructionError" in error:
        index, what = error["InstructionError"]
        if isinstance(what, dict):
            return f"Error processing Instruction {index}: custom program error: {what['Custom']:#x}"
        return f"Error processing Instruction {index}: {what}"
    return str(error)


def _blockhash_of(raw: bytes) -> bytes:
    """The blockhash in a transaction's bytes: after signatures, header and keys (all counts below 128)."""
    at = 1 + 64 * raw[0]
    at += 1 if raw[at] & 0x80 else 0
    return raw[at + 4 + 32 * raw[at + 3] :][:32]


def simulate_transaction(view: View, params: Params) -> Any:
    """``simulateTransaction``: what would happen now; nothing changes."""
    config = config_at(params, 1)
    raw = decoded(required(params, 0), config.get("encoding", "base58"))
    verify, replace = bool(config.get("sigVerify", False)), bool(config.get("replaceRecentBlockhash", False))
    if verify and replace:
        raise RpcError(INVALID_PARAMS, "sigVerify may not be used with replaceRecentBlockhash")
    level = view.begin(config)
    addresses = _addresses(config)
    executed, accounts = view.cluster.settlement.try_run(raw, addresses, verify=verify, any_blockhash=replace)
    status, details, envelope = executed.status, executed.details, executed.envelope
    if status.error_name == Refusal.SIGNATURE_FAILURE:
        raise RpcError(SIGNATURE_FAILURE, "Transaction signature verification failure")
    if status.error_name in (Refusal.MALFORMED, Refusal.TOO_LARGE):
        raise RpcError(INVALID_PARAMS, _INSANE)
    block = view.block(Commitment.PROCESSED)
    value: dict[str, Any] = {
        "err": _error(executed),
        "logs": [],
        "accounts": [written(view, accounts[key], {"encoding": "base64"}) for key in addresses] or None,
        "unitsConsumed": 0,
        "loadedAccountsDataSize": 0,
        "returnData": None,
        "innerInstructions": None,
        "replacementBlockhash": {
            "blockhash": str(Hash(block.blockhash)),
            "lastValidBlockHeight": block.height + BLOCKHASH_LIFE,
        }
        if replace
        else None,
    }
    if details is not None and envelope is not None:
        meta = meta_json(Record(envelope, details, status.fee_lamports, view.bank.slot, 0))
        value["logs"], value["unitsConsumed"] = meta["logMessages"], details.units
        value["loadedAccountsDataSize"] = sum(
            len(view.bank.account(named.pubkey).data) for named in envelope.accounts
        )
        if config.get("innerInstructions"):
            value["innerInstructions"] = meta["innerInstructions"]
        for name in (
            "fee",
            "preBalances",
            "postBalances",
            "preTokenBalances",
            "postTokenBalances",
            "loadedAddresses",
        ):
            value[name] = meta[name]
    return view.answer(level, value)


def _addresses(config: Config) -> list[bytes]:
    asked = config.get("accounts")
    if asked is None:
        return []
    if not isinstance(asked, dict) or asked.get("encoding", "base64") not in ("base64", "jsonParsed"):
        raise RpcError(INVALID_PARAMS, "base58 encoding not supported")
    return [pubkey(one) for one in sequence(asked.get("addresses", []), "addresses", 64)]


def get_signature_statuses(view: View, params: Params) -> Any:
    """``getSignatureStatuses``: ``null`` for those this node knows nothing of."""
    wanted = [signature(one) for one in sequence(required(params, 0), "signatures", MAX_STATUSES)]
    history = bool(config_at(params, 1).get("searchTransactionHistory", False))
    value = [_status(view, view.cluster.ledger.entries.get(one), history) for one in wanted]
    return view.answer(Commitment.PROCESSED, value)


def _status(view: View, entry: Entry | None, history: bool) -> dict[str, Any] | None:
    newest = view.slot()
    if entry is None or entry.slot > newest or (not history and entry.slot < newest - _CACHE_SLOTS):
        return None
    level = view.cluster.ledger.commitment(entry.slot, newest)
    error = entry.error
    return {
        "slot": entry.slot,
        "confirmations": None if level is Commitment.FINALIZED else newest - entry.slot,
        "err": error,
        "status": {"Ok": None} if error is None else {"Err": error},
        "confirmationStatus": level.name.lower(),
    }


def get_transaction(view: View, params: Params) -> Any:
    """``getTransaction``: confirmed or finalized; ``null`` until then."""
    wanted = signature(required(params, 0))
    short = len(params) > 1 and isinstance(params[1], str)
    config = {"encoding": params[1]} if short else config_at(params, 1)
    level = commitment(config)
    if level is Commitment.PROCESSED:
        raise RpcError(INVALID_PARAMS, "Method does not support commitment below `confirmed`")
    entry = view.cluster.ledger.entries.get(wanted)
    if entry is None or entry.slot > view.slot(level):
        return None
    return {
        "slot": entry.slot,
        "blockTime": entry.unix_timestamp,
        **transaction_json(entry.record, config),
    }


def get_signatures_for_address(view: View, params: Params) -> Any:
    """``getSignaturesForAddress``: newest first."""
    address, config = pubkey(required(params, 0)), config_at(params, 1)
    level = view.begin(config)
    limit = integer(config.get("limit", MAX_SIGNATURES), "limit")
    if not 0 < limit <= MAX_SIGNATURES:
        raise RpcError(INVALID_PARAMS, f"Invalid limit; max {MAX_SIGNATURES}")
    found: list[dict[str, Any]] = []
    started = config.get("before") is None
    for entry in view.cluster.ledger.naming(address, view.slot(level)):
        text = str(Signature(entry.signature))
        if text == config.get("until") or len(found) >= limit:
            break
        if started:
            found.append(
                {
                    "signature": text,
                    "slot": entry.slot,
                    "err": entry.error,
                    "memo": None,
                    "blockTime": entry.unix_timestamp,
                    "confirmationStatus": view.cluster.ledger.commitment(entry.slot).name.lower(),
                }
            )
        started = started or text == config.get("before")
    return found


METHODS: Final[dict[str, Method]] = {
    "sendTransaction": send_transaction,
    "simulateTransaction": simulate_transaction,
    "getSignatureStatuses": get_signature_statuses,
    "getTransaction": get_transaction,
    "getSignaturesForAddress": get_signatures_for_address,
}
