"""WebSocket subscriptions: who wants to be told what, and the telling.

At processed commitment accounts are told at once or at the end of the slot, as the settings say; at a later
commitment (or by a lagging node) once their slot is that far back, coalesced. Notifications are put into each
channel's own bounded queue: one that does not read is closed, and holds up nobody.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from solders.pubkey import Pubkey
from solders.signature import Signature

from hft.simnet.cluster import Cluster, Listener
from hft.simnet.events import AccountUpdate, SlotUpdate
from hft.simnet.ledger import DEPTHS, Commitment, Record
from hft.simnet.rpc import INVALID_PARAMS, Params, RpcError, View, commitment, config_at, pubkey, required
from hft.simnet.rpc import signature as parsed_signature
from hft.simnet.rpc_accounts import filters, passes, written
from hft.simnet.settlement import Executed
from hft.venues import Account

MAX_UNREAD_BYTES: Final = 64 << 20
MAX_SUBSCRIPTIONS: Final = 10_000
ROOT_DEPTH: Final = DEPTHS[Commitment.FINALIZED]


class Channel:
    """One WebSocket: what it is to be sent. ``wake`` is called when there is something new."""

    def __init__(self, node: str, wake: Callable[[], None]) -> None:
        self.node = node
        self.outgoing: deque[str] = deque()
        self.unread = 0
        self.overrun = False
        self.cut = False
        self._wake = wake

    def send(self, text: str) -> None:
        """Queues one message; a queue that is full ends the channel."""
        if self.unread + len(text) > MAX_UNREAD_BYTES:
            self.overrun = True
        if not self.overrun:
            self.outgoing.append(text)
            self.unread += len(text)
        self._wake()

    def end(self) -> None:
        """Ends the channel once what is queued is sent."""
        self.cut = True
        self._wake()


class Subscription:
    """One subscription of a channel."""

    def __init__(
        self,
        number: int,
        channel: Channel,
        kind: str,
        key: bytes,
        level: Commitment,
        config: Mapping[str, Any],
    ) -> None:
        self.number = number
        self.channel = channel
        self.kind = kind
        self.key = key
        self.level = level
        self.config = config
        self.form = json.dumps([config.get("encoding"), config.get("dataSlice")])
        self.filters = filters(config)
        self.received = False

    def tell(self, result: str) -> None:
        """Sends a notification whose result is given as JSON text."""
        self.channel.send(
            f'{{"jsonrpc":"2.0","method":"{self.kind}Notification","params":{{"result":{result},'
            f'"subscription":{self.number}}}}}'
        )


class Hub(Listener):
    """All subscriptions on one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._bank = cluster.bank
        self._number = 0
        self._all: dict[int, Subscription] = {}
        self._accounts: dict[bytes, dict[int, Subscription]] = {}
        self._programs: dict[bytes, dict[int, Subscription]] = {}
        self._signatures: dict[bytes, dict[int, Subscription]] = {}
        self._slots: dict[int, Subscription] = {}
        self._logs: dict[int, Subscription] = {}
        self._touched: set[bytes] = set()
        self._at_once = cluster.settings.notify == "write"
        self.told = 0

    @property
    def count(self) -> int:
        """Subscriptions that stand."""
        return len(self._all)

    def subscribe(self, channel: Channel, method: str, params: Params) -> tuple[int, Callable[[], None]]:
        """Subscribes; (its number, what is to be done after the client knows the number)."""
        if len(self._all) >= MAX_SUBSCRIPTIONS:
            raise RpcError(INVALID_PARAMS, f"Too many subscriptions; max {MAX_SUBSCRIPTIONS}")
        kind = method.removesuffix("Subscribe")
        config = config_at(params, 1) if kind not in ("slot", "root") else {}
        level = commitment(config)
        if kind == "signature":
            key = parsed_signature(required(params, 0))
        elif kind == "logs":
            key = _mentioned(required(params, 0))
        else:
            key = b"" if kind in ("slot", "root") else pubkey(required(params, 0))
        if kind in ("account", "program"):
            written(View(self._cluster), Account(bytes(32), b"", 1), config)
        self._number += 1
        made = Subscription(self._number, channel, kind, key, level, config)
        self._all[made.number] = made
        self._table(made)[made.number] = made
        return made.number, lambda: self._ask_signature(made)

    def unsubscribe(self, channel: Channel, number: Any) -> bool:
        """Ends a subscription of this channel; RpcError INVALID_PARAMS if it has none such."""
        found = self._all.get(number) if isinstance(number, int) else None
        if found is None or found.channel is not channel:
            raise RpcError(INVALID_PARAMS, "Invalid subscription id.")
        self._end(found)
        return True

    def forget(self, channel: Channel) -> None:
        """The channel is closed."""
        for subscription in [one for one in self._all.values() if one.channel is channel]:
            self._end(subscription)

    def on_accounts(self, changes: list[AccountUpdate]) -> None:
        """Accounts changed: tells those who want it at once."""
        if not self._accounts and not self._programs:
            return
        self._touched.update(update.pubkey for update in changes)
        if self._at_once:
            self._tell_accounts({update.pubkey for update in changes}, self._bank.slot, 0)

    def on_slot(self, update: SlotUpdate) -> None:
        """A slot ended: tells it, and what became confirmed and final by it."""
        block = self._bank.blocks[update.slot]
        lags = self._lags()
        if not self._at_once and self._touched:
            self._tell_accounts(self._touched, block.parent, 0)
        self._touched = set()
        if self._accounts or self._programs:
            for depth in {DEPTHS[level] + lag for level in Commitment for lag in lags} - {0}:
                self._tell_accounts(
                    self._bank.history.changed_in(update.slot - depth), update.slot - depth, depth
                )
        for subscription in list(self._slots.values()):
            if self._is_silent(subscription):
                continue
            slot = update.slot - self._lag(subscription.channel.node)
            parent = self._bank.block_at(slot - 1).slot
            root = slot - ROOT_DEPTH
            text = f'{{"slot":{slot},"parent":{parent},"root":{root}}}'
            subscription.tell(text if subscription.kind == "slot" else str(root))
        for depth in {DEPTHS[one.level] + self._lag(one.channel.node) for one in self._logs.values()} - {0}:
            for record in self._cluster.ledger.in_slot(update.slot - depth):
                self._tell_logs(record, depth)
        for waiting in list(self._signatures.values()):
            for subscription in list(waiting.values()):
                self._ask_signature(subscription)

    def on_executed(self, executed: Executed) -> None:
        """A transaction landed: tells those who follow it, and its logs."""
        if self._logs:
            entry = self._cluster.ledger.entries.get(executed.status.signature)
            if entry is not None:
                self._tell_logs(entry.record, 0)
        for subscription in list(self._signatures.get(executed.status.signature, {}).values()):
            self._ask_signature(subscription)

    def on_cut(self, node: str) -> None:
        """Closes the channels of a node that have subscriptions."""
        for channel in {one.channel for one in self._all.values() if node in ("", one.channel.node)}:
            channel.end()

    def _tell_accounts(self, pubkeys: Iterable[bytes], slot: int, depth: int) -> None:
        texts: dict[tuple[bytes, str], str] = {}
        for key in pubkeys:
            wanting = list(self._accounts.get(key, {}).values())
            account = None
            if self._programs:
                account = self._bank.account_at(key, slot)
                wanting += [
                    one
                    for one in self._programs.get(account.owner, {}).values()
                    if passes(account, one.filters)
                ]
            for subscription in wanting:
                wanted = DEPTHS[subscription.level] + self._lag(subscription.channel.node)
                if wanted != depth or self._is_silent(subscription):
                    continue
                account = account or self._bank.account_at(key, slot)
                subscription.tell(self._text(subscription, key, account, slot, texts))
                self.told += 1

    def _tell_logs(self, record: Record, depth: int) -> None:
        named = {one.pubkey for one in record.envelope.accounts}
        text = ""
        for one in list(self._logs.values()):
            due = DEPTHS[one.level] + self._lag(one.channel.node) == depth
            if not due or (one.key and one.key not in named) or self._is_silent(one):
                continue
            if not text:
                value = {
                    "signature": str(Signature(record.envelope.signature)),
                    "err": record.details.error,
                    "logs": record.details.logs(record.envelope),
                }
                text = json.dumps({"context": {"slot": record.slot}, "value": value}, separators=(",", ":"))
            one.tell(text)

    def _text(
        self,
        subscription: Subscription,
        key: bytes,
        account: Account,
        slot: int,
        texts: dict[tuple[bytes, str], str],
    ) -> str:
        known = texts.get((key, subscription.form))
        if known is None:
            try:
                value = written(View(self._cluster), account, subscription.config)
            except RpcError:
                # Too large for base58: a validator then says so in the data's place.
                value = {"error": "base64 is needed"}
            if value is None:
                value = {
                    "data": ["", "base64"],
                    "executable": False,
                    "lamports": 0,
                    "owner": str(Pubkey(bytes(32))),
                    "rentEpoch": 0,
                    "space": 0,
                }
            known = texts[key, subscription.form] = orjson.dumps(value).decode()
        if subscription.kind == "program":
            known = f'{{"pubkey":"{Pubkey(key)}","account":{known}}}'
        return f'{{"context":{{"slot":{slot}}},"value":{known}}}'

    def _ask_signature(self, subscription: Subscription) -> None:
        """Tells a signature subscription that is due, which ends by it."""
        if subscription.kind != "signature" or self._is_silent(subscription):
            return
        entry = self._cluster.ledger.entries.get(subscription.key)
        known = entry is not None or self._cluster.is_queued(subscription.key)
        context = f'{{"context":{{"slot":{self._bank.slot}}},"value":'
        if known and not subscription.received and subscription.config.get("enableReceivedNotification"):
            subscription.received = True
            subscription.tell(context + '"receivedSignature"}')
        view = View(self._cluster, subscription.channel.node)
        if entry is not None and entry.slot <= view.slot(subscription.level):
            subscription.tell(f'{context}{{"err":{json.dumps(entry.error)}}}}}')
            self._end(subscription)

    def _table(self, one: Subscription) -> dict[int, Subscription]:
        if one.kind in ("slot", "root"):
            return self._slots
        if one.kind == "logs":
            return self._logs
        tables = {"account": self._accounts, "program": self._programs, "signature": self._signatures}
        return tables[one.kind].setdefault(one.key, {})

    def _end(self, one: Subscription) -> None:
        self._all.pop(one.number, None)
        table = self._table(one)
        table.pop(one.number, None)
        if not table and one.key and one.kind != "logs":
            tables = {"account": self._accounts, "program": self._programs, "signature": self._signatures}
            tables[one.kind].pop(one.key, None)

    def _is_silent(self, one: Subscription) -> bool:
        faults = self._cluster.faults
        return bool(faults.standing) and faults.find("silent_websocket", one.channel.node) is not None

    def _lag(self, node: str) -> int:
        faults = self._cluster.faults
        fault = faults.find("lagging_node", node) if faults.standing else None
        return fault.slots if fault is not None else 0

    def _lags(self) -> set[int]:
        return {0} | {fault.slots for fault in self._cluster.faults.list() if fault.kind == "lagging_node"}


def _mentioned(asked: Any) -> bytes:
    """Whose transactions' logs are wanted; none: all."""
    if asked in ("all", "allWithVotes"):
        return b""
    keys = asked.get("mentions") if isinstance(asked, dict) else None
    if not isinstance(keys, list):
        raise RpcError(INVALID_PARAMS, 'Invalid params: "all", "allWithVotes" or {"mentions": [key]}.')
    if len(keys) != 1:
        raise RpcError(INVALID_PARAMS, "Invalid Request: Only 1 address supported")
    return pubkey(keys[0])


METHODS: Final = ("account", "program", "slot", "root", "signature", "logs")
SUBSCRIBE: Final = frozenset(f"{kind}Subscribe" for kind in METHODS)
UNSUBSCRIBE: Final = frozenset(f"{kind}Unsubscribe" for kind in METHODS)
