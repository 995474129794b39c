"""Meteora DAMM v2's pool account, read from bytes and written back.

Offsets count from the start of the account data. Source: IDL ``cp_amm`` 0.2.0 (MeteoraAg/damm-v2-sdk).
"""

from collections.abc import Callable, Mapping
from operator import itemgetter
from struct import Struct
from typing import Any

from solders.pubkey import Pubkey

from hft.venues import spl
from hft.venues.types import Account

PROGRAM = spl.key("cpamdpZCGKUy5JxQXB4dcpGPiikHawvSWAd6mEn1sGG")
POOL_SIZE = 1112
POOL_HEAD = bytes.fromhex("f19a6d0411b16dbc")
TWO_AMOUNTS = Struct("<QQ")
PROTOCOL_FEES_AT = 392
AMOUNTS_AT = 680
names_in: Callable[[bytes], object] = itemgetter(
    slice(64), slice(152, 360), slice(424, 456), slice(472, 488), slice(696, 697)
)
"""See ``VenueSpec``: all but the dynamic fee's state, liquidity, fees owed and price."""


def u128(data: bytes, at: int) -> int:
    """Unsigned 128-bit figure at an offset."""
    return int.from_bytes(data[at : at + 16], "little")


def recognises(account: Account) -> bool:
    """True for a Pool account (owner already compared)."""
    return len(account.data) == POOL_SIZE and account.data.startswith(POOL_HEAD)


def required_accounts(pubkey: bytes, account: Account) -> tuple[bytes, ...]:
    """Both mints; the pool itself holds the amounts."""
    spl.check_account("pool", pubkey, account, PROGRAM, POOL_SIZE, POOL_HEAD)
    return account.data[168:200], account.data[200:232]


def figures(pubkey: bytes, accounts: Mapping[bytes, Account]) -> dict[str, Any]:
    """The pool and its tokens as plain JSON-able figures that ``encode`` turns back; fee blocks as hex."""
    account = spl.find_account(accounts, pubkey, "pool")
    spl.check_account("pool", pubkey, account, PROGRAM, POOL_SIZE, POOL_HEAD)
    data = account.data
    return {
        "venue": "meteora_damm_v2",
        "pool": str(Pubkey(pubkey)),
        "creator": str(Pubkey(data[648:680])),
        "base_fee": data[8:48].hex(),
        "protocol_percent": data[48],
        "referral_percent": data[50],
        "compounding_bps": int.from_bytes(data[54:56], "little"),
        "dynamic_fee": data[56:168].hex(),
        "liquidity": u128(data, 360),
        "protocol_fees": list(TWO_AMOUNTS.unpack_from(data, PROTOCOL_FEES_AT)),
        "sqrt_min": u128(data, 424),
        "sqrt_max": u128(data, 440),
        "sqrt_price": u128(data, 456),
        "activation_point": int.from_bytes(data[472:480], "little"),
        "modes": list(data[480:487]),
        "amounts": list(TWO_AMOUNTS.unpack_from(data, AMOUNTS_AT)),
        "layout_version": data[696],
        "a": spl.token_figures(accounts, data[168:200], data[232:264]),
        "b": spl.token_figures(accounts, data[200:232], data[264:296]),
    }


def encode(plain: Mapping[str, Any]) -> dict[bytes, Account]:
    """The accounts that ``plain`` (see ``figures``) describes, as ``decode`` expects them."""
    side_a, side_b = plain["a"], plain["b"]
    data = bytearray(POOL_SIZE)
    data[0:8] = POOL_HEAD
    data[8:48] = bytes.fromhex(plain["base_fee"])
    data[48], data[50] = plain["protocol_percent"], plain["referral_percent"]
    data[54:56] = plain["compounding_bps"].to_bytes(2, "little")
    data[56:168] = bytes.fromhex(plain["dynamic_fee"])
    data[168:232] = spl.key(side_a["mint"]) + spl.key(side_b["mint"])
    data[232:296] = spl.key(side_a["vault"]) + spl.key(side_b["vault"])
    data[360:376] = plain["liquidity"].to_bytes(16, "little")
    TWO_AMOUNTS.pack_into(data, PROTOCOL_FEES_AT, *plain["protocol_fees"])
    for at, name in ((424, "sqrt_min"), (440, "sqrt_max"), (456, "sqrt_price")):
        data[at : at + 16] = plain[name].to_bytes(16, "little")
    data[472:480] = plain["activation_point"].to_bytes(8, "little")
    data[480:487] = bytes(plain["modes"])
    data[648:680] = spl.key(plain["creator"])
    TWO_AMOUNTS.pack_into(data, AMOUNTS_AT, *plain["amounts"])
    data[696] = plain["layout_version"]
    own = {spl.key(plain["pool"]): Account(PROGRAM, bytes(data), spl.rent_exempt(POOL_SIZE))}
    return own | spl.token_accounts(side_a) | spl.token_accounts(side_b)
