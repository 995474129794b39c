"""Commands from outside: what they are on the wire, how they are signed, and which of them are heeded.

A command is a KillSwitch message (``state`` killed asks for a halt, running for a resume) on the subject
``command.<kill|resume>.<instance>``, where instance is a name or ``all``. No stream stores these subjects.
Four headers go with it:

    Hft-Sender       the sender's public NKey, U…
    Hft-Nonce        16 random bytes, 32 hexadecimal digits
    Hft-Issued-Ns    when it was issued, unix time in ns, decimal
    Hft-Signature    Ed25519 by the sender's key, 64 bytes in base64url without padding, over
                     "hft.command.1\\n" + subject + "\\n" + nonce (16) + issued (u64, little-endian) + message

Pure: ``Gate.judge`` decides; a halt or a request is another's act.
"""

import base64
import binascii
import re
import struct
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

import nacl.exceptions
import nacl.signing

from hft import wire
from hft.runtime.nats_address import check_instance
from hft.runtime.nats_options import Identity, public_key_bytes
from hft.wire.enums import KillState, KillTrigger

PREFIX = "command"
EVERYONE = "all"
ANSWERS = "_INBOX.command"
"""Where ``hft command`` takes answers: who may subscribe to no other inbox can't listen to other clients'."""

DOMAIN = b"hft.command.1\n"

NONCE_BYTES = 16
MESSAGE_LIMIT_BYTES = 1024
"""A KillSwitch has 272 bytes in our writing, and a little more in flatc's."""

FUTURE_LIMIT_NS = 2_000_000_000
"""How far a sender's clock may be ahead of ours."""

_SENDER = re.compile(r"([A-Za-z0-9_.-]{1,16}):(U[A-Z2-7]{55})")


class Kind(StrEnum):
    """What is asked for."""

    KILL = "kill"
    RESUME = "resume"


_STATES = {Kind.KILL: KillState.KILLED, Kind.RESUME: KillState.RUNNING}


class Refusal(StrEnum):
    """Why a command is not heeded; each is counted."""

    OVERSIZE = "oversize"
    MALFORMED = "malformed"
    UNKNOWN_SENDER = "unknown_sender"
    BAD_SIGNATURE = "bad_signature"
    OTHER_INSTANCE = "other_instance"
    BAD_RECORD = "bad_record"
    TOO_OLD = "too_old"
    FROM_FUTURE = "from_future"
    REPLAYED = "replayed"
    BUSY = "busy"
    NOT_RECORDED = "not_recorded"


class Command(NamedTuple):
    """An order that is proved. ``sender``: the name its key has in the settings; ``by`` and ``message`` are
    printable and on one line; times in unix ns."""

    kind: Kind
    sender: str
    by: str
    message: str
    issued_unix_ns: int
    nonce: bytes


class Signed(NamedTuple):
    """A command ready to be published."""

    subject: str
    headers: dict[str, str]
    message: bytes


class Verdict(NamedTuple):
    """``command`` when it is heeded, else ``refusal``. ``proved``: a listed sender did sign it, so that an
    answer tells nothing to strangers."""

    command: Command | None
    refusal: Refusal | None
    proved: bool


class Nonces:
    """Nonces of commands that are young enough to be repeated, a bounded number a sender.

    ``floor_unix_ns``: commands issued up to then are refused; it rises to the newest one that was forgotten,
    so that a clock set back opens no door to those.
    """

    LIMIT = 256

    def __init__(self, floor_unix_ns: int = 0) -> None:
        self.floor_unix_ns = floor_unix_ns
        self.issued: dict[str, dict[bytes, int]] = {}

    def known(self, sender: str, nonce: bytes) -> bool:
        """Was it used already?"""
        return nonce in self.issued.get(sender, ())

    def room(self, sender: str) -> bool:
        """May this sender have one more?"""
        return len(self.issued.get(sender, ())) < self.LIMIT

    def add(self, sender: str, nonce: bytes, issued_unix_ns: int) -> None:
        """From now on it is known."""
        self.issued.setdefault(sender, {})[nonce] = issued_unix_ns

    def forget(self, before_unix_ns: int) -> None:
        """Those issued before then are too old to be heeded anyway."""
        for sender, nonces in list(self.issued.items()):
            for nonce, issued in list(nonces.items()):
                if issued < before_unix_ns:
                    self.floor_unix_ns = max(self.floor_unix_ns, issued)
                    del nonces[nonce]
            if not nonces:
                del self.issued[sender]


class Gate:
    """Decides which commands are heeded.

    senders: public key as text → the sender's name. instance: our name. age_limit_ns: older ones are refused.
    """

    def __init__(
        self, senders: Mapping[str, str], instance: str, age_limit_ns: int, nonces: Nonces | None = None
    ) -> None:
        self.nonces = nonces or Nonces()
        self._senders = {
            key: (name, nacl.signing.VerifyKey(public_key_bytes(key))) for key, name in senders.items()
        }
        self._instances = (instance, EVERYONE)
        self._age_limit_ns = age_limit_ns

    def judge(self, subject: str, headers: Mapping[str, str], message: bytes, now_unix_ns: int) -> Verdict:
        """Whether to heed a command; its nonce is known from then on. Never raises."""
        if len(message) > MESSAGE_LIMIT_BYTES:
            return Verdict(None, Refusal.OVERSIZE, False)
        try:
            kind, instance = _addressed(subject)
            nonce, issued, signature = _stamped(headers)
        except ValueError:
            return Verdict(None, Refusal.MALFORMED, False)
        key = headers["Hft-Sender"]
        if key not in self._senders:
            return Verdict(None, Refusal.UNKNOWN_SENDER, False)
        name, verifier = self._senders[key]
        try:
            verifier.verify(signed_bytes(subject, nonce, issued, message), signature)
        except nacl.exceptions.BadSignatureError:
            return Verdict(None, Refusal.BAD_SIGNATURE, False)
        refusal = self._stale(key, instance, nonce, issued, now_unix_ns)
        if refusal is not None:
            return Verdict(None, refusal, True)
        self.nonces.add(key, nonce, issued)
        try:
            record = wire.kill_switch.decode(message)
        except wire.WireError:
            return Verdict(None, Refusal.BAD_RECORD, True)
        if record.state != _STATES[kind]:
            return Verdict(None, Refusal.BAD_RECORD, True)
        by, text = printable(wire.text(record.by)), printable(wire.text(record.message))
        return Verdict(Command(kind, name, by, text, issued, nonce), None, True)

    def _stale(self, key: str, instance: str, nonce: bytes, issued: int, now_unix_ns: int) -> Refusal | None:
        if instance not in self._instances:
            return Refusal.OTHER_INSTANCE
        oldest = now_unix_ns - self._age_limit_ns
        self.nonces.forget(oldest)
        if self.nonces.known(key, nonce):
            return Refusal.REPLAYED
        if issued < oldest or issued <= self.nonces.floor_unix_ns:
            return Refusal.TOO_OLD
        if issued > now_unix_ns + FUTURE_LIMIT_NS:
            return Refusal.FROM_FUTURE
        return None if self.nonces.room(key) else Refusal.BUSY


def signed_bytes(subject: str, nonce: bytes, issued_unix_ns: int, message: bytes) -> bytes:
    """What the signature is over."""
    return DOMAIN + subject.encode() + b"\n" + nonce + struct.pack("<Q", issued_unix_ns) + message


def sign(
    identity: Identity, kind: Kind, instance: str, by: str, text: str, nonce: bytes, issued_unix_ns: int
) -> Signed:
    """A command, signed. ``by`` and ``text`` are cut to what fits the message. ``ValueError``: the nonce has
    not 16 bytes, or the instance no valid name."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    check_instance(instance)
    message = bytearray(wire.kill_switch.size)
    wire.kill_switch.encode_into(
        message,
        trace_id=bytes(16),
        sequence=0,
        slot=0,
        state=_STATES[kind],
        trigger=KillTrigger.MANUAL if kind is Kind.KILL else KillTrigger.NONE,
        observed=0,
        limit=0,
        by=wire.fit_text(by, 32),
        message=wire.fit_text(text, 128),
        monotonic_ns=0,
        unix_ns=issued_unix_ns,
    )
    subject = f"{PREFIX}.{kind}.{instance}"
    signature = identity.sign(signed_bytes(subject, nonce, issued_unix_ns, bytes(message)))
    headers = {
        "Hft-Sender": identity.public_key,
        "Hft-Nonce": nonce.hex(),
        "Hft-Issued-Ns": str(issued_unix_ns),
        "Hft-Signature": base64.urlsafe_b64encode(signature).rstrip(b"=").decode(),
    }
    return Signed(subject, headers, bytes(message))


def parse_senders(entries: Sequence[str]) -> dict[str, str]:
    """``NAME:U…`` entries as public key → name; ``ValueError`` names the entry that is wrong."""
    found: dict[str, str] = {}
    for entry in entries:
        matched = _SENDER.fullmatch(entry)
        if matched is None:
            raise ValueError(f"{entry[:80]!r} is not NAME:U… (a name of at most 16 letters, a public NKey)")
        public_key_bytes(matched[2])
        if matched[2] in found or matched[1] in found.values():
            raise ValueError(f"{matched[1]}: names and keys must each be there once")
        found[matched[2]] = matched[1]
    return found


def printable(text: str) -> str:
    """On one line and without what a terminal would obey."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


def _addressed(subject: str) -> tuple[Kind, str]:
    prefix, kind, instance = subject.split(".")
    if prefix != PREFIX:
        raise ValueError
    check_instance(instance)
    return Kind(kind), instance


def _stamped(headers: Mapping[str, str]) -> tuple[bytes, int, bytes]:
    """Nonce, time and signature; ``ValueError`` when one is absent or not of the right form."""
    try:
        nonce = bytes.fromhex(headers["Hft-Nonce"])
        issued_text, text = headers["Hft-Issued-Ns"], headers["Hft-Signature"]
        signature = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        right = "Hft-Sender" in headers and re.fullmatch(r"[0-9]{1,19}", issued_text) is not None
    except (KeyError, binascii.Error, ValueError, TypeError):
        raise ValueError from None
    if not right or len(nonce) != NONCE_BYTES or len(signature) != 64:
        raise ValueError
    return nonce, int(issued_text), signature
