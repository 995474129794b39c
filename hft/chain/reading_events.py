"""What the system and token programs were told to do, from their instructions' bytes or parsed form.

Only what moves money or tells who owns an account: the rest is no event.
"""

from collections.abc import Callable, Mapping
from struct import unpack_from
from typing import Any, Final, NamedTuple

from solders.pubkey import Pubkey

from hft.venues import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from hft.venues.spl import ASSOCIATED_TOKEN_PROGRAM, MEMO_PROGRAM

SYSTEM_PROGRAM: Final = bytes(32)
COMPUTE_BUDGET: Final = bytes(Pubkey.from_string("ComputeBudget111111111111111111111111111111"))
PRECOMPILES: Final = frozenset(
    bytes(Pubkey.from_string(name))
    for name in (
        "Ed25519SigVerify111111111111111111111111111",
        "KeccakSecp256k11111111111111111111111111111",
        "Secp256r1SigVerify1111111111111111111111111",
    )
)
"""Programs whose signatures the base fee counts; the first byte of their data says how many."""
TOKEN_PROGRAMS: Final = frozenset((TOKEN_PROGRAM, TOKEN_2022_PROGRAM))
LEAF_PROGRAMS: Final = TOKEN_PROGRAMS | {SYSTEM_PROGRAM, ASSOCIATED_TOKEN_PROGRAM, MEMO_PROGRAM}


class TokenTransfer(NamedTuple):
    """``amount`` left ``source``; ``fee`` of it was withheld where the instruction says so."""

    source: bytes
    destination: bytes
    amount: int
    fee: int = 0


class SolTransfer(NamedTuple):
    """System transfer. ``created`` if it came with the making of the destination account."""

    source: bytes
    destination: bytes
    lamports: int
    created: bool = False


class AccountOpened(NamedTuple):
    """A token account was initialised."""

    account: bytes
    mint: bytes
    owner: bytes


class AccountClosed(NamedTuple):
    """A token account's lamports went to ``destination``."""

    account: bytes
    destination: bytes


class SupplyChange(NamedTuple):
    """``amount`` was minted into the account (negative: burnt)."""

    account: bytes
    amount: int


Event = TokenTransfer | SolTransfer | AccountOpened | AccountClosed | SupplyChange


def event_of_data(program: bytes, accounts: tuple[bytes, ...], data: bytes) -> Event | None:
    """The event of an instruction's bytes; None if it is none of ours or of a form unknown here."""
    try:
        if program == SYSTEM_PROGRAM:
            return _system(accounts, data)
        if program in TOKEN_PROGRAMS:
            return _token(accounts, data)
    except (IndexError, ValueError):
        return None
    return None


def _u64(data: bytes, at: int) -> int:
    if len(data) < at + 8:
        raise ValueError(f"{len(data)} bytes end before {at + 8}")
    return int(unpack_from("<Q", data, at)[0])


def _system(accounts: tuple[bytes, ...], data: bytes) -> Event | None:
    tag = int.from_bytes(data[:4], "little")
    if tag == 0:  # CreateAccount
        return SolTransfer(accounts[0], accounts[1], _u64(data, 4), True)
    if tag == 2:  # Transfer
        return SolTransfer(accounts[0], accounts[1], _u64(data, 4))
    if tag == 3:  # CreateAccountWithSeed: base 32, seed u64 length and text
        return SolTransfer(accounts[0], accounts[1], _u64(data, 44 + _u64(data, 36)), True)
    if tag == 5:  # WithdrawNonceAccount
        return SolTransfer(accounts[0], accounts[1], _u64(data, 4))
    if tag == 11:  # TransferWithSeed: the base account stands between
        return SolTransfer(accounts[0], accounts[2], _u64(data, 4))
    return None


def _token(accounts: tuple[bytes, ...], data: bytes) -> Event | None:
    match data[0]:
        case 1:  # InitializeAccount: the owner is an account
            return AccountOpened(accounts[0], accounts[1], accounts[2])
        case 16 | 18:  # InitializeAccount2, 3: the owner is in the data
            return AccountOpened(accounts[0], accounts[1], data[1:33])
        case 3:  # Transfer
            return TokenTransfer(accounts[0], accounts[1], _u64(data, 1))
        case 12:  # TransferChecked: the mint stands between
            return TokenTransfer(accounts[0], accounts[2], _u64(data, 1))
        case 26 if data[1] == 1:  # TransferFeeExtension, TransferCheckedWithFee
            return TokenTransfer(accounts[0], accounts[2], _u64(data, 2), _u64(data, 11))
        case 9:  # CloseAccount
            return AccountClosed(accounts[0], accounts[1])
        case 7 | 14:  # MintTo, MintToChecked
            return SupplyChange(accounts[1], _u64(data, 1))
        case 8 | 15:  # Burn, BurnChecked
            return SupplyChange(accounts[0], -_u64(data, 1))
        case _:
            return None


def event_of_parsed(program: bytes, parsed: Mapping[str, Any], key: Callable[[str], bytes]) -> Event | None:
    """The event of an instruction in ``jsonParsed`` form."""
    info, kind = parsed.get("info"), parsed.get("type")
    if not isinstance(info, Mapping):
        return None
    if program == SYSTEM_PROGRAM:
        return _parsed_system(str(kind), info, key)
    if program in TOKEN_PROGRAMS:
        return _parsed_token(str(kind), info, key)
    return None


def _parsed_system(kind: str, info: Mapping[str, Any], key: Callable[[str], bytes]) -> Event | None:
    match kind:
        case "createAccount" | "createAccountWithSeed":
            return SolTransfer(key(info["source"]), key(info["newAccount"]), int(info["lamports"]), True)
        case "transfer" | "transferWithSeed":
            return SolTransfer(key(info["source"]), key(info["destination"]), int(info["lamports"]))
        case "withdrawFromNonce":
            return SolTransfer(key(info["nonceAccount"]), key(info["destination"]), int(info["lamports"]))
        case _:
            return None


def _parsed_token(kind: str, info: Mapping[str, Any], key: Callable[[str], bytes]) -> Event | None:
    amount = int(info["amount"]) if "amount" in info else int(info.get("tokenAmount", {}).get("amount", 0))
    match kind:
        case "initializeAccount" | "initializeAccount2" | "initializeAccount3":
            return AccountOpened(key(info["account"]), key(info["mint"]), key(info["owner"]))
        case "transfer" | "transferChecked":
            return TokenTransfer(key(info["source"]), key(info["destination"]), amount)
        case "transferCheckedWithFee":
            fee = int(info["feeAmount"]["amount"])
            return TokenTransfer(key(info["source"]), key(info["destination"]), amount, fee)
        case "closeAccount":
            return AccountClosed(key(info["account"]), key(info["destination"]))
        case "mintTo" | "mintToChecked":
            return SupplyChange(key(info["account"]), amount)
        case "burn" | "burnChecked":
            return SupplyChange(key(info["account"]), -amount)
        case _:
            return None
