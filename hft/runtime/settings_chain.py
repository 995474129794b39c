"""``[chain]``: the way to Solana."""

from dataclasses import dataclass

from hft.runtime.settings_fields import choice, number, secret_file, string, strings


@dataclass(frozen=True)
class Chain:
    """``[chain]``: how the pipeline reaches Solana. In paper mode every URL must be a loopback one."""

    rpc_urls: tuple[str, ...] = strings(
        "JSON-RPC endpoints, best first, separated by commas; empty in paper mode: the local cluster."
    )
    ws_urls: tuple[str, ...] = strings(
        "WebSocket endpoints for market data; empty in paper mode: the local cluster."
    )
    jito_urls: tuple[str, ...] = strings("Block engines for bundles; empty in paper mode: the local cluster.")
    jito_auth_file: str = secret_file(
        "File of mode 0600 with the UUID for x-jito-auth on the first line; empty: none."
    )
    pools: tuple[str, ...] = strings(
        "Pools to watch: base58 keys; empty in paper mode: every pool that the local cluster has."
    )
    yellowstone_url: str = string(
        "", "Yellowstone gRPC server for market data, besides ws_urls (extra yellowstone); empty: none."
    )
    yellowstone_token_file: str = secret_file(
        "File of mode 0600 with its x-token on the first line; empty: none."
    )
    dry_run: str = choice(
        "on", ("on", "off"), "Live mode. on: plans are built, signed and simulated, and there is no sender."
    )
    signer: str = choice(
        "keystore",
        ("keystore", "vault", "kms"),
        "Live mode: who signs. keystore: the wallet below; vault, kms: a service, one round trip a plan.",
    )
    wallets: tuple[str, ...] = strings("Live mode: the wallet that trades, by its name in the keystore.")
    keys_dir: str = string("", "Folder of the keystore; empty: keys in the state folder.")
    passphrase_file: str = secret_file(
        "Live mode: file of mode 0600 whose first line opens the wallet. It is read, never copied."
    )
    wallet_address: str = string(
        "", "With vault or kms: address of the wallet that trades, base58; the service's key must be its own."
    )
    sign_limit_ms: int = number(1_000, 10, 60_000, "With vault or kms: longest wait for one signature.")
    vault_url: str = string("", "Vault's address; its transit engine signs.")
    vault_mount: str = string("transit", "Where the transit engine is mounted.")
    vault_key: str = string("", "Name of the Ed25519 key in it.")
    vault_namespace: str = string("", "Vault's namespace; empty: none.")
    vault_token_file: str = secret_file("File of mode 0600 with Vault's token on the first line.")
    kms_region: str = string("", "AWS region of the key; AWS's own chain finds the credentials.")
    kms_key: str = string("", "Its id, ARN or alias, of key spec ECC_NIST_EDWARDS25519.")
    kms_url: str = string("", "AWS KMS's address; empty: the region's own.")
    method: str = choice(
        "jito",
        ("jito", "rpc"),
        "jito: as a bundle first, by RPC where no engine takes it; rpc: by RPC alone.",
    )
    send_limit_ms: int = number(
        400, 10, 60_000, "Longest time from the first write of a plan to the last, within the plan's life."
    )
    send_attempts: int = number(2, 1, 20, "Tries of one plan on each way.")
    rpc_requests_per_second: int = number(
        50, 1, 100_000, "Most requests to one RPC node in a second; bursts of as many are let through."
    )
    jito_requests_per_second: int = number(
        0,
        0,
        1_000,
        "Most to one block engine. 0: no limit in paper mode, 1 in live mode, which is Jito's own.",
    )
    blockhash_poll_ms: int = number(400, 10, 10_000, "Time between two questions for the newest blockhash.")
    status_poll_ms: int = number(
        200,
        10,
        60_000,
        "The same after what was submitted; tenfold while a subscription tells of it.",
    )
    bundle_poll_ms: int = number(1_000, 10, 60_000, "The same after bundles, of the block engine.")
    balance_poll_ms: int = number(1_000, 50, 60_000, "The same after the wallet's balances.")
    fee_poll_ms: int = number(2_000, 50, 600_000, "The same after the priority fees that land.")
    tip_poll_ms: int = number(5_000, 50, 600_000, "The same after the tips that land.")
    tip_floor_url: str = string(
        "", "Where landed tips are told; empty: the local cluster in paper mode, nowhere in live mode."
    )
    tip_floor_percentile: str = choice(
        "50",
        ("25", "50", "75", "95", "99"),
        "Percentile of the landed tips that the executor shows as tip_floor_lamports.",
    )
    programs: str = string(
        "", "Folder of the venues' program binaries (<program id>.so), for [service:planner] simulate."
    )
    lookup_tables: tuple[str, ...] = strings("Address lookup tables to build with: base58 keys.")
