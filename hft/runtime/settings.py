"""Every setting: section by section, key by key, with its default and its range.

A key's name ends in its unit. The text of each key is the comment line above it in hft.ini; a test holds the
two together, so that a key can be neither undocumented nor unknown.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hft.runtime import topology
from hft.runtime.settings_chain import Chain
from hft.runtime.settings_fields import (
    LAMPORTS_PER_SOL,
    MAXIMUM_U64,
    choice,
    number,
    secret_file,
    string,
    strings,
)
from hft.runtime.settings_limits import Risk, Venues
from hft.runtime.settings_strategies import Strategies, Strategy

IDLE_STRATEGIES: tuple[str, ...] = ("auto", "busy_spin", "yield", "backoff", "park")
PLACEMENTS: tuple[str, ...] = ("auto", "shared", "split", "split_feed")


def _idle() -> Any:
    return choice(
        "auto", IDLE_STRATEGIES, "What it does when there is nothing to do; auto: as [hft] idle says."
    )


def _own_cpus() -> Any:
    return string("", "CPUs it may run on, such as 1 or 2-3; empty: as [cpus] says.")


def _journal_bytes(default: int) -> Any:
    return number(default, 4 << 20, 1 << 40, "Most bytes of its journal on disk.")


def _journal_age_s(default: int) -> Any:
    return number(default, 1, 366 * 86_400, "Age after which its journal lets go of what is published.")


def _journal_sync_ms(default: int) -> Any:
    return number(
        default, 0, 60_000, "Longest time its journal is not synced to disk; 0: left to the kernel."
    )


@dataclass(frozen=True)
class Hft:
    """``[hft]``: the instance as a whole."""

    mode: str = choice(
        "paper",
        ("paper", "live"),
        "How it trades. paper: the whole live path against a local cluster; live: on mainnet.",
    )
    state_dir: str = string(
        "",
        "Folder for ledger, kill latch, streams and logs; empty: $STATE_DIRECTORY, else XDG's state folder.",
    )
    prefix: str = string("hft", "First word of every shared-memory name; two instances may share it.")
    idle: str = choice(
        "auto",
        IDLE_STRATEGIES,
        "Idle strategy of all services. auto: a hot one with a core of its own yields, the others park.",
    )
    accounts_capacity: int = number(4096, 16, 1 << 20, "Most accounts the account table can hold.")
    accounts_bytes: int = number(
        16 << 20, 1 << 16, 1 << 32, "Bytes of account data the account table can hold."
    )
    drain_limit_ms: int = number(
        30_000, 100, 30_000, "Longest time a service may take to finish its work at a stop."
    )
    start_limit_ms: int = number(60_000, 1_000, 600_000, "Longest time a service may take to become ready.")
    restart_limit: int = number(
        5, 0, 1000, "Crashes of one service within the window below after which all is stopped."
    )
    restart_window_ms: int = number(
        60_000, 1_000, 3_600_000, "Length of the window in which crashes are counted."
    )
    restart_backoff_ms: int = number(
        100, 1, 60_000, "Pause before the first restart; doubles with each crash."
    )


@dataclass(frozen=True)
class Cpus:
    """``[cpus]``: where processes run."""

    list: str = string("", "CPUs to use, such as 0-3,5; empty: all this process may run on.")
    placement: str = choice(
        "auto",
        PLACEMENTS,
        "Hot services without a core of their own. split (auto): apart from all others; split_feed: so but "
        "for the feed; shared: among them.",
    )
    nice: int = number(
        5,
        0,
        19,
        "Niceness of what records and hands on: sidecar, event_logger, nats-server. 0: as all others.",
    )
    real_time: str = choice(
        "auto",
        ("auto", "off"),
        "auto: hot services that share a core by themselves run in real time, where the system lets them.",
    )


@dataclass(frozen=True)
class Link:
    """``[link:NAME]``: the size of one ring."""

    depth: int = number(1024, 2, 1 << 20, "Cells of the ring, a power of two.")
    mtu: int = number(512, 64, 1 << 16, "Bytes of one cell, a multiple of 8: the largest message.")


@dataclass(frozen=True)
class Feed:
    """``[service:feed]``"""

    idle: str = _idle()
    cpus: str = _own_cpus()
    stale_after_ms: int = number(
        5_000, 100, 3_600_000, "Nothing from a node for so long: its connection is given up and made anew."
    )
    start_wait_ms: int = number(
        5_000, 0, 60_000, "Longest wait for the chain at the start; after it the service asks on as it runs."
    )
    reference_limit_bps: int = number(
        500,
        0,
        10_000,
        "A pool farther from its token's stake-pool value is disabled; 0: never.",
    )
    reference_interval_ms: int = number(
        2_000, 100, 3_600_000, "Pause between two questions to Jupiter, and to Pyth."
    )
    jupiter_url: str = string("", "Jupiter's quote API; empty: not asked.")
    jupiter_key_file: str = secret_file("File of mode 0600 with its API key on the first line; empty: none.")
    jupiter_amount_lamports: int = number(
        LAMPORTS_PER_SOL, 1, MAXIMUM_U64, "SOL for which Jupiter is asked, one listed token after the other."
    )
    pyth_url: str = string("", "Pyth's Hermes API; empty: not asked.")
    pyth_key_file: str = secret_file("File of mode 0600 with its API key on the first line; empty: none.")
    pyth_feeds: tuple[str, ...] = strings("Prices to ask Pyth for: SYMBOL=FEED_ID, separated by commas.")


@dataclass(frozen=True)
class Scanner:
    """``[service:scanner]``"""

    idle: str = _idle()
    cpus: str = _own_cpus()
    minimum_gross_profit_lamports: int = number(
        10_000, 1, MAXIMUM_U64, "Least profit before fees and tip for which an opportunity is published."
    )
    minimum_size_lamports: int = number(
        LAMPORTS_PER_SOL // 100, 1, MAXIMUM_U64, "Smallest trade the optimiser may choose."
    )
    maximum_size_lamports: int = number(
        100 * LAMPORTS_PER_SOL, 1, MAXIMUM_U64, "Largest trade the optimiser may choose."
    )
    dedupe_slots: int = number(
        2, 0, 10_000, "Slots during which the same route in the same size class is not repeated."
    )
    shard: str = string(
        "0/1", "Its share of the pairs, NUMBER/OF: of two scanners 0/2 and 1/2; a pair stays in its share."
    )
    stablecoin_pairs: str = choice(
        "off", ("off", "on"), "on: pairs of SOL with USDT too, besides USDC and the LSTs."
    )


@dataclass(frozen=True)
class Planner:
    """``[service:planner]``"""

    idle: str = _idle()
    cpus: str = _own_cpus()
    profile: str = choice(
        "default",
        ("default", "conservative"),
        "conservative: at least 0.5% gross and 0.3% net, which rejects nearly every real two-hop trade.",
    )
    minimum_profit_lamports: int = number(1_000, 0, MAXIMUM_U64, "Least profit net of all costs.")
    minimum_profit_bps_milli: int = number(
        1, 0, 10_000_000, "Least net profit as a share of the trade, in thousandths of a basis point."
    )
    minimum_confidence_ppm: int = number(
        500_000, 0, 1_000_000, "Least confidence of an opportunity, in millionths."
    )
    data_age_limit_ms: int = number(5_000, 1, 3_600_000, "Oldest account data a plan may rest on.")
    slot_age_limit: int = number(25, 1, 100_000, "The same in Solana slots.")
    opportunity_age_limit_ms: int = number(2_000, 1, 3_600_000, "Oldest opportunity that is still planned.")
    maximum_slippage_bps: int = number(
        100, 0, 10_000, "Largest loss against the opportunity's quote, in basis points."
    )
    maximum_risk_score_ppm: int = number(700_000, 0, 1_000_000, "Highest risk score, in millionths.")
    tip_share_ppm: int = number(
        300_000, 0, 1_000_000, "Share of the expected profit offered as a tip, in millionths."
    )
    tip_floor_lamports: int = number(
        1_000, 1_000, MAXIMUM_U64, "Least tip, where landed tips ask for no more; 1000 is the engine's own."
    )
    tip_cap_lamports: int = number(5_000_000, 1_000, MAXIMUM_U64, "Largest tip, whatever the share says.")
    compute_unit_price_micro_lamports: int = number(
        1_000, 0, 1_000_000_000, "Least priority fee for each compute unit, in millionths of a lamport."
    )
    compute_unit_price_cap_micro_lamports: int = number(
        100_000, 0, 1_000_000_000, "Largest, where the fees that land lately ask for more than the least."
    )
    plan_life_ms: int = number(2_000, 10, 60_000, "Time after which a plan may no longer be sent.")
    simulate: str = choice(
        "off",
        ("off", "on"),
        "on: a plan's transaction is executed in process on the newest accounts before the plan is told.",
    )
    blacklist: tuple[str, ...] = strings("Pools never traded: base58 keys separated by commas.")


@dataclass(frozen=True)
class Executor:
    """``[service:executor]``"""

    idle: str = _idle()
    cpus: str = _own_cpus()


@dataclass(frozen=True)
class Auditor:
    """``[service:auditor]``"""

    idle: str = _idle()
    cpus: str = _own_cpus()
    ledger_dsn: str = string(
        "", "PostgreSQL for the ledger: postgresql://USER@HOST/DATABASE without a password; empty: SQLite."
    )
    ledger_dsn_file: str = secret_file(
        "File of mode 0600 whose first line is that DSN, which may then hold a password; empty: none."
    )


@dataclass(frozen=True)
class Manager:
    """``[service:manager]``: when the kill latch trips by itself."""

    idle: str = _idle()
    cpus: str = _own_cpus()
    error_rate_ppm: int = number(
        500_000, 0, 1_000_000, "Trips above this share of failed executions, in millionths."
    )
    drawdown_ppm: int = number(
        100_000, 0, 1_000_000, "Trips above this fall from the peak of wallet and profit, in millionths."
    )
    rpc_failure_ppm: int = number(
        800_000, 0, 1_000_000, "Trips above this share of failed submissions, in millionths."
    )
    memory_ppm: int = number(
        900_000, 0, 1_000_000, "Trips above this share of the machine's memory, in millionths."
    )
    window_s: int = number(60, 1, 86_400, "Length of the window over which rates are taken.")
    minimum_samples: int = number(20, 1, 1_000_000, "Fewest samples for which a rate means anything.")
    heartbeat_limit_ms: int = number(
        5_000, 50, 600_000, "Trips when a service's heartbeat is older than this."
    )
    no_data_limit_ms: int = number(10_000, 100, 3_600_000, "Trips when no market data came for so long.")
    slot_drift_limit: int = number(
        50, 1, 1_000_000, "Trips when market data lags the cluster by more slots than this."
    )


@dataclass(frozen=True)
class Sidecar:
    """``[service:sidecar]``: the limits of each stream's journal."""

    idle: str = _idle()
    cpus: str = _own_cpus()
    executed_bytes: int = _journal_bytes(512 << 20)
    executed_age_s: int = _journal_age_s(604_800)
    executed_sync_ms: int = _journal_sync_ms(20)
    planned_bytes: int = _journal_bytes(512 << 20)
    planned_age_s: int = _journal_age_s(86_400)
    planned_sync_ms: int = _journal_sync_ms(20)
    system_bytes: int = _journal_bytes(32 << 20)
    system_age_s: int = _journal_age_s(86_400)
    system_sync_ms: int = _journal_sync_ms(20)
    metrics_bytes: int = _journal_bytes(64 << 20)
    metrics_age_s: int = _journal_age_s(86_400)
    metrics_sync_ms: int = _journal_sync_ms(1_000)
    opportunities_bytes: int = _journal_bytes(256 << 20)
    opportunities_age_s: int = _journal_age_s(3_600)
    opportunities_sync_ms: int = _journal_sync_ms(1_000)
    market_data_bytes: int = _journal_bytes(128 << 20)
    market_data_age_s: int = _journal_age_s(300)
    market_data_sync_ms: int = _journal_sync_ms(0)


@dataclass(frozen=True)
class EventLogger:
    """``[service:event_logger]``"""

    idle: str = _idle()
    cpus: str = _own_cpus()
    market_data_one_in: int = number(
        100, 1, 1_000_000, "Of so many market-data updates one is written; all other events always are."
    )
    file_bytes: int = number(64 << 20, 1 << 16, 1 << 40, "Size at which a new file is begun.")
    file_age_s: int = number(86_400, 60, 31_536_000, "Age at which a new file is begun.")
    files: int = number(10, 1, 10_000, "Older files that are kept besides the newest.")


@dataclass(frozen=True)
class Bridge:
    """``[service:bridge]``: opportunities of other machines."""

    idle: str = _idle()
    cpus: str = _own_cpus()
    enabled: str = choice(
        "off",
        ("off", "on"),
        "on: what scanners on other machines find comes by JetStream into a link of its own.",
    )
    url: str = string("", "Where their stream OPPORTUNITIES is, as in [nats] url; empty: that server.")
    subject: str = string("", "Only these of its subjects (* and > are wildcards); empty: all.")


@dataclass(frozen=True)
class Simnet:
    """``[simnet]``: the local cluster of paper mode."""

    idle: str = _idle()
    cpus: str = _own_cpus()
    market: tuple[str, ...] = strings(
        "Account files to load, separated by commas; empty: the snapshot that ships."
    )
    seed: int = number(1, 0, MAXIMUM_U64, "Seed of the order flow: the same seed gives the same trades.")
    slot_ms: int = number(400, 10, 60_000, "Length of a slot.")
    swaps_per_second: int = number(50, 0, 100_000, "Rate of the order flow that moves the pools.")
    wallet_lamports: int = number(
        200 * LAMPORTS_PER_SOL,
        LAMPORTS_PER_SOL,
        MAXIMUM_U64,
        "What the paper wallet starts with, SOL and wSOL together.",
    )
    landing_ms: int = number(5, 0, 10_000, "Time between a submission's arrival and its execution.")
    port: int = number(0, 0, 65_535, "Loopback port of JSON-RPC, WebSocket and block engine; 0: a free one.")
    grpc_port: int = number(
        -1, -1, 65_535, "Loopback port of Yellowstone gRPC (extra yellowstone); 0: a free one, -1: none."
    )
    programs: str = string(
        "", "Folder of venue programs (<program id>.so) that run instead of priced settlement; empty: none."
    )
    notify: str = choice(
        "write",
        ("write", "slot"),
        "When accounts are told at processed commitment. write: at once; slot: coalesced, at its end.",
    )
    rpc_requests_per_10s: int = number(
        0, 0, 1_000_000, "Most JSON-RPC requests to one node in any 10 s; above it 429. 0: no limit."
    )
    bundle_requests_per_second: int = number(
        0, 0, 1_000_000, "Most block-engine requests to one node in any second; above it 429. 0: no limit."
    )
    rival_ppm: int = number(
        250_000, 0, 1_000_000, "Share of dislocations a rival searcher competes for, in millionths."
    )
    rival_reaction_ms: int = number(300, 0, 60_000, "Time it takes at least to bid; twice that in the mean.")
    rival_tip_ppm: int = number(500_000, 0, 1_000_000, "Share of its profit the rival bids as a tip.")


@dataclass(frozen=True)
class Nats:
    """``[nats]``: where the streams are."""

    url: str = string(
        "embedded",
        "embedded: a nats-server of its own on loopback; else tls://HOST:PORT or nats://127.0.0.1:PORT, "
        "several separated by commas.",
    )
    port: int = number(0, 0, 65_535, "Port of the embedded server; 0: a free one.")
    sync_always: str = choice(
        "off",
        ("off", "on"),
        "on: the embedded server syncs each message to disk before it acknowledges; off: every 10 s.",
    )
    plaintext: str = choice(
        "loopback",
        ("loopback", "anywhere"),
        "Where nats:// may lead, which nothing encrypts. anywhere: for a network that is private otherwise.",
    )
    tls_ca_file: str = string(
        "", "Authorities by which a tls:// server is verified, PEM; empty: the system's."
    )
    tls_cert_file: str = string("", "Our own certificate, PEM, where the server asks for one.")
    tls_key_file: str = secret_file("Its key, PEM, mode 0600.")
    credentials_file: str = secret_file("Who we are: a .creds file (JWT and seed), mode 0600.")
    nkey_seed_file: str = secret_file("Who we are, without a JWT: an NKey seed (SU…), mode 0600.")
    stream_bytes: int = number(4 << 30, 1 << 20, 1 << 40, "Most bytes one stream may keep.")
    replicas: int = number(1, 1, 5, "Servers of a cluster that keep each stream: 1, 3 or 5.")
    command_senders: tuple[str, ...] = strings(
        "Who may halt this instance from outside: NAME:PUBLIC_NKEY, separated by commas; empty: nobody."
    )
    command_instance: str = string(
        "hft", "The name by which commands address this instance, besides all: a-z, 0-9, _ and -."
    )
    command_age_limit_ms: int = number(30_000, 1_000, 600_000, "Oldest command that is still heeded.")


@dataclass(frozen=True)
class Config:
    """All settings, checked. ``links`` is keyed by link name, ``strategy`` by the strategy's; services stand
    under their own names.
    """

    hft: Hft = field(default_factory=Hft)
    cpus: Cpus = field(default_factory=Cpus)
    feed: Feed = field(default_factory=Feed)
    scanner: Scanner = field(default_factory=Scanner)
    planner: Planner = field(default_factory=Planner)
    executor: Executor = field(default_factory=Executor)
    auditor: Auditor = field(default_factory=Auditor)
    manager: Manager = field(default_factory=Manager)
    sidecar: Sidecar = field(default_factory=Sidecar)
    event_logger: EventLogger = field(default_factory=EventLogger)
    bridge: Bridge = field(default_factory=Bridge)
    risk: Risk = field(default_factory=Risk)
    chain: Chain = field(default_factory=Chain)
    venues: Venues = field(default_factory=Venues)
    strategies: Strategies = field(default_factory=Strategies)
    simnet: Simnet = field(default_factory=Simnet)
    nats: Nats = field(default_factory=Nats)
    strategy: dict[str, Strategy] = field(default_factory=lambda: {"two_hop": Strategy()})
    links: dict[str, Link] = field(
        default_factory=lambda: {entry.name: Link(entry.depth, entry.mtu) for entry in topology.LINKS}
    )

    @property
    def optional(self) -> tuple[str, ...]:
        """Names of the optional services that these settings ask for."""
        return ("bridge",) if self.bridge.enabled == "on" else ()


def sections(strategies: Iterable[str] = ("two_hop",)) -> dict[str, tuple[type, str]]:
    """Section name in hft.ini → its dataclass and where it stands in ``Config`` (``links/NAME`` for a link,
    ``strategy/NAME`` for each of ``strategies``).
    """
    table: dict[str, tuple[type, str]] = {"hft": (Hft, "hft"), "cpus": (Cpus, "cpus")}
    table |= {f"link:{entry.name}": (Link, f"links/{entry.name}") for entry in topology.LINKS}
    table |= {
        f"service:{name}": (kind, name)
        for name, kind in (
            *((kind.__name__.lower(), kind) for kind in (Feed, Scanner, Planner, Executor, Auditor, Manager)),
            ("sidecar", Sidecar),
            ("event_logger", EventLogger),
            ("bridge", Bridge),
        )
    }
    table |= {
        "risk": (Risk, "risk"),
        "chain": (Chain, "chain"),
        "venues": (Venues, "venues"),
        "strategies": (Strategies, "strategies"),
        **{f"strategy:{name}": (Strategy, f"strategy/{name}") for name in strategies},
        "simnet": (Simnet, "simnet"),
        "nats": (Nats, "nats"),
    }
    return table


def idle_setting(config: Config, service: str) -> str:
    """The idle strategy that a service's own section or ``[hft]`` asks for; ``auto`` when neither does."""
    own: str = getattr(config, service).idle
    return config.hft.idle if own == "auto" else own


def section_of(service: str) -> str:
    """Name of a service's section in hft.ini."""
    return service if service == topology.SIMNET else f"service:{service}"


def own_cpus(config: Config) -> dict[str, str]:
    """Service → the CPU list of its own section, empty where it has none."""
    return {spec.name: getattr(config, spec.name).cpus for spec in topology.SERVICES}
