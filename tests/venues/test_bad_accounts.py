"""Account bytes that are no pool: a coded error each, and the other pools go on (rows 8 and 9)."""

from collections.abc import Callable
from random import Random

import pytest
from solders.pubkey import Pubkey

from hft.venues import (
    ABSENT,
    Account,
    PoolError,
    PoolErrorCode,
    QuoteError,
    QuoteErrorCode,
    decode,
    decode_changed,
    quote,
    required_accounts,
    venue_of,
)
from hft.venues.spl import key
from perf.made_up import CLOCK, SETTINGS, VARIANTS, accounts_of, pool_of

MAIN = sorted(
    {variant.split("-")[0] for variant in VARIANTS} | {"whirlpool-adaptive", "whirlpool-dynamic-arrays"}
)


def pool_key(variant: str) -> bytes:
    return key(VARIANTS[variant]()["pool"])


def own_accounts(variant: str) -> dict[bytes, Account]:
    """The accounts a decoder reads, without those that don't exist."""
    accounts = accounts_of(variant)
    pubkey = pool_key(variant)
    names = (pubkey, *required_accounts(pubkey, accounts[pubkey]))
    return {name: accounts[name] for name in names if name in accounts and accounts[name].data}


def broken(account: Account, how: str) -> Account:
    data = account.data
    if how == "truncated":
        return account._replace(data=data[: len(data) // 2])
    if how == "one byte short":
        return account._replace(data=data[:-1])
    if how == "wrong owner":
        return account._replace(owner=bytes([7]) * 32)
    return ABSENT


@pytest.mark.parametrize("how", ["truncated", "one byte short", "wrong owner", "null"])
@pytest.mark.parametrize("variant", MAIN)
def test_row_08_a_damaged_account_disables_its_pool_and_no_other(variant: str, how: str) -> None:
    others = [name for name in ("raydium_v4", "whirlpool", "meteora_dlmm") if name != variant]
    codes = set()
    for pubkey, account in own_accounts(variant).items():
        accounts: dict[bytes, Account] = {}
        for name in others:
            accounts |= accounts_of(name)
        accounts |= accounts_of(variant) | {pubkey: broken(account, how)}
        try:
            decode(pool_key(variant), accounts, SETTINGS)
        except PoolError as error:
            codes.add(error.code)
        else:
            # Only an account that doesn't exist may be no fault: an array without ticks, an extension.
            assert how == "null", Pubkey(pubkey)
        for name in others:
            if pubkey not in own_accounts(name):
                assert decode(pool_key(name), accounts, SETTINGS).key == pool_key(name)
    expected = {
        "truncated": {PoolErrorCode.WRONG_SIZE},
        "one byte short": {PoolErrorCode.WRONG_SIZE},
        "wrong owner": {PoolErrorCode.WRONG_OWNER, PoolErrorCode.UNKNOWN_VENUE},
        "null": {PoolErrorCode.ACCOUNT_MISSING},
    }
    assert codes <= expected[how]
    assert codes


@pytest.mark.parametrize("variant", sorted(set(MAIN) - {"raydium_v4"}))
def test_row_08_a_wrong_discriminator_is_no_pool(variant: str) -> None:
    accounts = accounts_of(variant)
    account = accounts[pool_key(variant)]
    accounts[pool_key(variant)] = account._replace(data=b"\0" * 8 + account.data[8:])
    assert venue_of(accounts[pool_key(variant)]) is None
    with pytest.raises(PoolError) as error:
        decode(pool_key(variant), accounts, SETTINGS)
    assert error.value.code is PoolErrorCode.WRONG_DISCRIMINATOR


def test_row_08_an_account_of_another_program_is_of_no_venue() -> None:
    accounts = {bytes(32): Account(bytes([3]) * 32, bytes(653), 1)}
    assert venue_of(accounts[bytes(32)]) is None
    with pytest.raises(PoolError, match="none of whirlpool") as error:
        decode(bytes(32), accounts)
    assert error.value.code is PoolErrorCode.UNKNOWN_VENUE
    with pytest.raises(PoolError) as error:
        required_accounts(bytes(32), accounts[bytes(32)])
    assert error.value.code is PoolErrorCode.UNKNOWN_VENUE


def foreign_array(variant: str) -> tuple[bytes, Account]:
    """The variant's largest account and its bytes as another pool's: the pool key inside replaced."""
    pubkey = pool_key(variant)
    for name, account in own_accounts(variant).items():
        if name != pubkey and len(account.data) > 5000:
            return name, account._replace(data=account.data.replace(pubkey, bytes([5]) * 32))
    raise AssertionError(variant)


@pytest.mark.parametrize("variant", ["whirlpool", "raydium_clmm", "meteora_dlmm"])
def test_row_10_an_array_of_another_pool_is_refused(variant: str) -> None:
    name, account = foreign_array(variant)
    good = accounts_of(variant)
    with pytest.raises(PoolError, match="belongs to pool") as error:
        decode(pool_key(variant), good | {name: account}, SETTINGS)
    assert error.value.code is PoolErrorCode.POOL_MISMATCH
    with pytest.raises(PoolError) as error:
        decode_changed(decode(pool_key(variant), good, SETTINGS), good | {name: account}, {name})
    assert error.value.code is PoolErrorCode.POOL_MISMATCH


@pytest.mark.parametrize("variant", ["raydium_v4", "raydium_cpmm"])
def test_row_10_a_vault_of_another_mint_is_refused(variant: str) -> None:
    accounts = accounts_of(variant)
    pool = pool_of(variant)
    vault = accounts[pool.vault_a]
    accounts[pool.vault_a] = vault._replace(data=bytes([4]) * 32 + vault.data[32:])
    with pytest.raises(PoolError, match="the pool names") as error:
        decode(pool.key, accounts, SETTINGS)
    assert error.value.code is PoolErrorCode.MINT_MISMATCH


def emptied(variant: str) -> dict[str, object]:
    """Figures of the variant with nothing in it."""
    figures = VARIANTS[variant]()
    if variant in ("raydium_v4", "raydium_cpmm"):
        figures["a"]["vault_amount"] = 17
        figures["b"]["vault_amount"] = 20
    elif variant == "meteora_dlmm":
        figures |= {"bin_arrays": [], "bitmap": bytes(128).hex()}
    else:
        figures["liquidity"] = 0
        if variant != "meteora_damm_v2":
            figures["tick_arrays"] = (
                [[row[0], "absent", []] for row in figures["tick_arrays"]] if variant == "whirlpool" else []
            )
    return figures


@pytest.mark.parametrize("variant", sorted({variant.split("-")[0] for variant in VARIANTS}))
def test_row_09_a_pool_with_nothing_in_it_is_disabled(variant: str) -> None:
    from hft.venues.encoders import encode

    figures = emptied(variant)
    with pytest.raises(PoolError) as error:
        decode(pool_key(variant), encode(figures), SETTINGS)
    assert error.value.code is PoolErrorCode.ZERO_LIQUIDITY


@pytest.mark.parametrize(
    ("variant", "change", "code"),
    [
        ("raydium_cpmm", {"status": 4}, QuoteErrorCode.POOL_DISABLED),
        ("raydium_cpmm", {"open_time": 2_000_001}, QuoteErrorCode.NOT_OPEN),
        ("raydium_clmm", {"status": 16}, QuoteErrorCode.POOL_DISABLED),
        ("raydium_clmm", {"open_time": 2_000_000}, QuoteErrorCode.NOT_OPEN),
        ("meteora_dlmm", {"status": 1}, QuoteErrorCode.POOL_DISABLED),
        ("meteora_dlmm", {"pair_type": 2, "activation_point": 2_000_001}, QuoteErrorCode.NOT_OPEN),
        ("meteora_damm_v2", {"modes": [1, 1, 0, 0, 0, 0, 1]}, QuoteErrorCode.POOL_DISABLED),
        ("meteora_damm_v2", {"activation_point": 2_000_001}, QuoteErrorCode.NOT_OPEN),
        ("whirlpool", {"reward_last_updated": 2_000_001}, QuoteErrorCode.CLOCK_BEHIND),
    ],
)
def test_a_pool_that_is_paused_or_not_open_is_not_quoted(
    variant: str, change: dict[str, object], code: QuoteErrorCode
) -> None:
    from hft.venues.encoders import encode

    pool = decode(pool_key(variant), encode(VARIANTS[variant]() | change), SETTINGS)
    with pytest.raises(QuoteError) as error:
        quote(pool, pool.mint_a, 10**6, CLOCK)
    assert error.value.code is code


@pytest.mark.parametrize("variant", ["whirlpool", "raydium_clmm", "meteora_dlmm"])
def test_an_array_that_is_not_at_hand_is_said_to_be_missing(variant: str) -> None:
    """Small swaps go on; one that needs the missing array is refused with what could be filled."""
    accounts = accounts_of(variant)
    pool = pool_of(variant)
    for name, account in list(accounts.items()):
        if (name != pool.key and len(account.data) > 5000) or account is ABSENT or not account.data:
            del accounts[name]
    if variant == "whirlpool":
        # The array of the price itself must be there for any quote at all.
        here = [name for name, account in accounts_of(variant).items() if len(account.data) > 5000]
        accounts |= {name: accounts_of(variant)[name] for name in here[1:]}
    partial = decode(pool.key, accounts, SETTINGS)
    with pytest.raises(QuoteError) as error:
        quote(partial, pool.mint_a, 10**15, CLOCK)
    assert error.value.code is QuoteErrorCode.ARRAY_MISSING


@pytest.mark.parametrize(
    ("amount", "code"),
    [(0, QuoteErrorCode.BAD_AMOUNT), (-1, QuoteErrorCode.BAD_AMOUNT), (1 << 64, QuoteErrorCode.BAD_AMOUNT)],
)
@pytest.mark.parametrize("variant", MAIN)
def test_row_09_amounts_beyond_64_bits_are_refused(variant: str, amount: int, code: QuoteErrorCode) -> None:
    pool = pool_of(variant)
    for ask in (
        lambda: quote(pool, pool.mint_a, amount, CLOCK),
        lambda: pool.quote_exact_out(pool.mint_b, amount, CLOCK),
    ):
        with pytest.raises(QuoteError) as error:
            ask()
        assert error.value.code is code
    with pytest.raises(QuoteError) as error:
        quote(pool, bytes(32), 5, CLOCK)
    assert error.value.code is QuoteErrorCode.UNKNOWN_MINT


def mutate(random: Random, data: bytes) -> bytes:
    """Bytes with a few changed where a program keeps its figures."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(changed))
        size = random.choice((1, 2, 4, 8, 16))
        patterns: list[Callable[[], bytes]] = [
            lambda size=size: bytes(size),
            lambda size=size: b"\xff" * size,
            lambda size=size: random.randbytes(size),
            lambda size=size: b"\0" * (size - 1) + b"\x80",
        ]
        value = random.choice(patterns)()
        changed[at : at + size] = value[: len(changed) - at]
    return bytes(changed)


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_row_09_random_damage_gives_a_coded_error_or_a_sane_quote(variant: str) -> None:
    random = Random(variant)
    pool = pool_of(variant)
    good = own_accounts(variant)
    all_accounts = accounts_of(variant)
    # Mostly the pool's own account, where every byte may matter.
    names = [pool.key] * 4 + list(good)
    for _ in range(120):
        name = random.choice(names)
        accounts = all_accounts | {name: good[name]._replace(data=mutate(random, good[name].data))}
        try:
            found = decode(pool.key, accounts, SETTINGS)
        except PoolError:
            continue
        for mint in (found.mint_a, found.mint_b):
            amount = 1 << random.randint(0, 63)
            try:
                result = quote(found, mint, amount, CLOCK)
                assert 0 <= result.amount_out < 1 << 64
                assert 0 < result.amount_in_used <= amount
                assert result.pool_after.key == found.key
                back = found.quote_exact_out(found.other_mint(mint), amount, CLOCK)
                assert 0 < back.amount_in < 1 << 64
            except (QuoteError, PoolError):
                continue
