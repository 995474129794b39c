"""What a mode asks of the settings: paper mode has no way to a wallet or a server of the world, live mode no
default for anything that money depends on.
"""

from collections.abc import Iterable
from dataclasses import fields
from typing import Final
from urllib.parse import urlsplit

from hft.runtime.settings import Config
from hft.runtime.settings_chain import Chain

PAPER: Final = "paper"
LIVE: Final = "live"
KEYSTORE: Final = "keystore"
"""Signs with a wallet of its own; every other signer is a service."""
_HTTP: Final = ("http", "https")
_WEBSOCKET: Final = ("ws", "wss")


def errors(config: Config) -> list[str]:
    """Everything that does not fit the mode, a line each, naming its key."""
    return _paper(config) if config.hft.mode == PAPER else _live(config)


def _paper(config: Config) -> list[str]:
    chain = config.chain
    wrong = [
        f"[chain] {key}: paper mode trades with a public wallet of its own; this key belongs to mode = live"
        for key, value in (
            ("signer", chain.signer != KEYSTORE),
            ("wallets", chain.wallets),
            ("passphrase_file", chain.passphrase_file),
            ("wallet_address", chain.wallet_address),
            ("vault_token_file", chain.vault_token_file),
        )
        if value
    ]
    return wrong + _addresses(config)


def _live(config: Config) -> list[str]:
    chain, risk = config.chain, config.risk
    wrong = [
        f"[chain] {key}: live mode has no default: {what}"
        for key, value, what in (
            ("rpc_urls", chain.rpc_urls, "the JSON-RPC nodes, best first"),
            ("ws_urls", chain.ws_urls, "the WebSocket nodes for market data"),
            ("pools", chain.pools, "the pools to watch"),
        )
        if not value
    ]
    wrong += _signer(chain)
    if chain.method == "jito" and not chain.jito_urls:
        wrong.append("[chain] jito_urls: live mode has no default: block engines, or method = rpc")
    if chain.jito_auth_file and any(_is_open(url) for url in chain.jito_urls):
        wrong.append("[chain] jito_auth_file: http:// would show it on the way; jito_urls want https://")
    if len(chain.wallets) > 1:
        wrong.append(
            f"[chain] wallets: {len(chain.wallets)} wallets; one trades in an instance: each wants an "
            "instance with a state folder of its own"
        )
    if risk.accept_defaults == "off":
        wrong += [
            f"[risk] {entry.name}: left at its default, {entry.default}; live mode wants every limit set, "
            "or accept_defaults = on"
            for entry in fields(risk)
            if entry.name != "accept_defaults" and getattr(risk, entry.name) == entry.default
        ]
    return wrong + _addresses(config)


def _signer(chain: Chain) -> list[str]:
    """What the one who signs asks for, and what would go unheard."""
    needed = {
        KEYSTORE: (
            ("wallets", "the wallet that trades, by its name in the keystore"),
            ("passphrase_file", "the file that opens the wallet"),
        ),
        "vault": (
            ("wallet_address", "the address of the wallet that trades"),
            ("vault_url", "Vault's address"),
            ("vault_key", "the key's name in its transit engine"),
            ("vault_token_file", "the file with its token"),
        ),
        "kms": (
            ("wallet_address", "the address of the wallet that trades"),
            ("kms_region", "the AWS region of the key"),
            ("kms_key", "the key's id, ARN or alias"),
        ),
    }
    wanted = dict(needed[chain.signer])
    wrong = [
        f"[chain] {key}: live mode has no default: {what}"
        for key, what in wanted.items()
        if not getattr(chain, key)
    ]
    others: dict[str, list[str]] = {}
    for who, keys in needed.items():
        for key, _ in keys:
            if key not in wanted and getattr(chain, key):
                others.setdefault(key, []).append(who)
    wrong += [
        f"[chain] {key}: signer = {chain.signer} has no use for it; it belongs to {' and '.join(who)}"
        for key, who in others.items()
    ]
    for key, url in (("vault_url", chain.vault_url), ("kms_url", chain.kms_url)):
        if _is_open(url):
            wrong.append(
                f"[chain] {key}: http:// would show what is signed and by whom; https:// belongs there"
            )
    if chain.wallet_address and not _is_key(chain.wallet_address):
        wrong.append(f"[chain] wallet_address: {chain.wallet_address!r} is no base58 key of 32 bytes")
    return wrong


def _is_key(text: str) -> bool:
    from solders.pubkey import Pubkey

    try:
        Pubkey.from_string(text)
    except ValueError:
        return False
    return True


def _is_open(url: str) -> bool:
    """Whether others can read what goes there."""
    from hft.chain.endpoint import is_loopback

    try:
        parts = urlsplit(url)
    except ValueError:
        return False  # told as an address that is none
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _addresses(config: Config) -> list[str]:
    """Addresses that are none, or out of the mode's reach."""
    chain = config.chain
    given: tuple[tuple[str, Iterable[str], tuple[str, ...]], ...] = (
        ("rpc_urls", chain.rpc_urls, _HTTP),
        ("ws_urls", chain.ws_urls, _WEBSOCKET),
        ("jito_urls", chain.jito_urls, _HTTP),
        ("tip_floor_url", filter(None, (chain.tip_floor_url,)), _HTTP),
        ("vault_url", filter(None, (chain.vault_url,)), _HTTP),
        ("kms_url", filter(None, (chain.kms_url,)), _HTTP),
    )
    listed = [(key, url, schemes) for key, urls, schemes in given for url in urls]
    if not listed:
        return []
    # Only here, where there is something to check: commands that need no network start without it.
    from hft.chain.endpoint import EndpointError, Reach, check_url

    reach = Reach.LOOPBACK if config.hft.mode == PAPER else Reach.ANYWHERE
    wrong = []
    for key, url, schemes in listed:
        try:
            check_url(url, schemes, reach, f"[chain] {key}")
        except EndpointError as error:
            wrong.append(str(error))
    return wrong
