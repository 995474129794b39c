"""Which commands are heeded: every way of being wrong has its own reason, and a nonce works once."""

import random
import struct
from pathlib import Path

import pytest
from secure_server import new_seed, public_key

from hft import wire
from hft.runtime import config, nonce_file
from hft.runtime.commands import (
    FUTURE_LIMIT_NS,
    MESSAGE_LIMIT_BYTES,
    Gate,
    Kind,
    Nonces,
    Refusal,
    Signed,
    Verdict,
    parse_senders,
    printable,
    sign,
    signed_bytes,
)
from hft.runtime.nats_options import Identity

SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS
AGE_NS = 30 * SECOND_NS
ALICE = Identity(new_seed())


def gate(nonces: Nonces | None = None) -> Gate:
    return Gate({ALICE.public_key: "alice"}, "tokyo", AGE_NS, nonces)


def order(
    kind: Kind = Kind.KILL,
    instance: str = "tokyo",
    nonce: int = 1,
    issued_ns: int = NOW_NS,
    identity: Identity = ALICE,
    text: str = "because",
) -> Signed:
    return sign(identity, kind, instance, "al@host", text, nonce.to_bytes(16, "little"), issued_ns)


def judged(made: Gate, signed: Signed, now_ns: int = NOW_NS, **headers: str) -> Verdict:
    return made.judge(signed.subject, {**signed.headers, **headers}, signed.message, now_ns)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize("instance", ["tokyo", "all"])
def test_a_signed_command_is_heeded_by_its_instance_and_by_all(kind: Kind, instance: str) -> None:
    verdict = judged(gate(), order(kind, instance))
    assert verdict.refusal is None
    assert verdict.command is not None
    assert verdict.command[:4] == (kind, "alice", "al@host", "because")


def test_the_signed_bytes_are_as_documented() -> None:
    expected = b"hft.command.1\ncommand.kill.all\n" + bytes(range(16)) + struct.pack("<Q", 7) + b"message"
    assert signed_bytes("command.kill.all", bytes(range(16)), 7, b"message") == expected


def test_row_24_a_command_works_once() -> None:
    made = gate()
    assert judged(made, order()).command is not None
    assert judged(made, order()).refusal is Refusal.REPLAYED
    assert judged(made, order(nonce=2)).command is not None


@pytest.mark.parametrize(
    ("age_ns", "refusal"),
    [
        (AGE_NS, None),
        (AGE_NS + 1, Refusal.TOO_OLD),
        (-FUTURE_LIMIT_NS, None),
        (-FUTURE_LIMIT_NS - 1, Refusal.FROM_FUTURE),
    ],
)
def test_the_age_limit_holds_on_both_sides(age_ns: int, refusal: Refusal | None) -> None:
    verdict = judged(gate(), order(issued_ns=NOW_NS - age_ns))
    assert verdict.refusal is refusal
    assert verdict.proved


def test_strangers_and_changed_commands_are_refused_and_get_no_proof() -> None:
    mallory = Identity(new_seed())
    signed = order()
    assert judged(gate(), order(identity=mallory)) == (None, Refusal.UNKNOWN_SENDER, False)
    forged = order(identity=mallory)
    assert judged(gate(), forged, **{"Hft-Sender": ALICE.public_key}) == (None, Refusal.BAD_SIGNATURE, False)
    for subject, message in (
        (signed.subject.replace("tokyo", "all"), signed.message),
        (signed.subject.replace("kill", "resume"), signed.message),
        (signed.subject, signed.message[:-1] + b"x"),
    ):
        verdict = gate().judge(subject, signed.headers, message, NOW_NS)
        assert verdict == (None, Refusal.BAD_SIGNATURE, False)
    assert judged(gate(), signed, **{"Hft-Issued-Ns": str(NOW_NS + 1)}).refusal is Refusal.BAD_SIGNATURE
    assert judged(gate(), signed, **{"Hft-Nonce": "00" * 16}).refusal is Refusal.BAD_SIGNATURE


def test_a_command_to_another_instance_is_not_ours() -> None:
    assert judged(gate(), order(instance="paris")).refusal is Refusal.OTHER_INSTANCE


@pytest.mark.parametrize(
    "headers",
    [
        {"Hft-Nonce": "00"},
        {"Hft-Nonce": "zz" * 16},
        {"Hft-Issued-Ns": "-1"},
        {"Hft-Issued-Ns": "1e9"},
        {"Hft-Issued-Ns": "9" * 30},
        {"Hft-Signature": "!"},
        {"Hft-Signature": "AAAA"},
    ],
)
def test_row_04_malformed_headers_are_refused(headers: dict[str, str]) -> None:
    assert judged(gate(), order(), **headers) == (None, Refusal.MALFORMED, False)


@pytest.mark.parametrize(
    "subject",
    ["command.kill", "command.stop.all", "system.kill.all", "command.kill.a.b", "command.kill.Å", ""],
)
def test_row_04_other_subjects_are_refused(subject: str) -> None:
    signed = order()
    assert gate().judge(subject, signed.headers, signed.message, NOW_NS).refusal is Refusal.MALFORMED


def test_row_04_absent_headers_and_oversize_messages_are_refused() -> None:
    signed = order()
    for name in signed.headers:
        left = {key: value for key, value in signed.headers.items() if key != name}
        assert gate().judge(signed.subject, left, signed.message, NOW_NS).refusal is Refusal.MALFORMED
    big = bytes(MESSAGE_LIMIT_BYTES + 1)
    assert gate().judge(signed.subject, signed.headers, big, NOW_NS).refusal is Refusal.OVERSIZE


def resigned(message: bytes, subject: str = "command.kill.tokyo", nonce: int = 9) -> Signed:
    """Any bytes, with a signature that holds."""
    import base64

    raw = nonce.to_bytes(16, "little")
    signature = ALICE.sign(signed_bytes(subject, raw, NOW_NS, message))
    headers = {
        "Hft-Sender": ALICE.public_key,
        "Hft-Nonce": raw.hex(),
        "Hft-Issued-Ns": str(NOW_NS),
        "Hft-Signature": base64.urlsafe_b64encode(signature).decode(),
    }
    return Signed(subject, headers, message)


def test_row_04_a_signed_message_that_is_no_kill_switch_or_says_otherwise_is_refused() -> None:
    record = order().message
    assert judged(gate(), resigned(record)).command is not None
    assert judged(gate(), resigned(record, "command.resume.tokyo")).refusal is Refusal.BAD_RECORD
    pool = bytearray(wire.lifecycle.size)
    pool[4:8] = wire.lifecycle.identifier
    numbers = random.Random(8)
    for wrong in (b"", b"HFKS", bytes(pool), record[:100], record[:4] + numbers.randbytes(268)):
        verdict = judged(gate(), resigned(wrong))
        assert verdict.refusal is Refusal.BAD_RECORD
        assert verdict.proved
    for place in range(len(record)):
        torn = bytearray(record)
        torn[place] ^= 0xFF
        judged(gate(), resigned(bytes(torn)))  # whatever it says then: no error, no hang


def test_row_04_random_commands_never_raise() -> None:
    numbers = random.Random(4)
    made = gate()
    for _ in range(300):
        headers = {name: numbers.randbytes(20).decode("latin-1") for name in order().headers}
        verdict = made.judge(
            numbers.randbytes(12).decode("latin-1"),
            headers,
            numbers.randbytes(numbers.randrange(400)),
            NOW_NS,
        )
        assert verdict.command is None


def test_a_sender_has_a_bounded_number_of_young_nonces_and_others_are_not_concerned() -> None:
    bob = Identity(new_seed())
    made = Gate({ALICE.public_key: "alice", bob.public_key: "bob"}, "tokyo", AGE_NS)
    for number in range(Nonces.LIMIT):
        assert judged(made, order(nonce=number)).command is not None
    assert judged(made, order(nonce=Nonces.LIMIT)).refusal is Refusal.BUSY
    assert judged(made, order(identity=bob)).command is not None
    later_ns = NOW_NS + AGE_NS + 1
    assert judged(made, order(nonce=5000, issued_ns=later_ns), later_ns).command is not None
    assert sum(map(len, made.nonces.issued.values())) == 1, "those too old to be heeded are forgotten"


def test_row_11_a_clock_set_back_opens_no_door_to_forgotten_nonces() -> None:
    made = gate()
    assert judged(made, order()).command is not None
    later_ns = NOW_NS + 3600 * SECOND_NS
    assert judged(made, order(nonce=2, issued_ns=later_ns), later_ns).command is not None
    assert judged(made, order(), NOW_NS).refusal is Refusal.TOO_OLD


def test_a_restart_opens_no_door_to_a_replay(tmp_path: Path) -> None:
    first = gate()
    assert judged(first, order()).command is not None
    nonce_file.save(tmp_path, first.nonces)
    nonces, wrong = nonce_file.load(tmp_path, NOW_NS)
    assert not wrong
    second = gate(nonces)
    assert judged(second, order()).refusal is Refusal.REPLAYED
    assert judged(second, order(nonce=2)).command is not None


@pytest.mark.parametrize(
    "damage", [lambda t: t[: len(t) // 2], lambda t: t.replace("1", "2"), lambda t: "[]"]
)
def test_row_22_a_damaged_nonce_file_refuses_all_that_was_issued_before(
    tmp_path: Path, damage: object
) -> None:
    made = gate()
    judged(made, order())
    nonce_file.save(tmp_path, made.nonces)
    file = tmp_path / nonce_file.NONCE_FILE
    file.write_text(damage(file.read_text()))  # type: ignore[operator]
    nonces, wrong = nonce_file.load(tmp_path, NOW_NS)
    assert str(file) in wrong
    assert judged(gate(nonces), order(nonce=7)).refusal is Refusal.TOO_OLD
    later = order(nonce=8, issued_ns=NOW_NS + 1)
    assert judged(gate(nonces), later, NOW_NS + 1).command is not None


def test_senders_are_read_strictly() -> None:
    alice, bob = public_key(new_seed()), public_key(new_seed())
    assert parse_senders([f"alice:{alice}", f"bob:{bob}"]) == {alice: "alice", bob: "bob"}
    for wrong in (
        [alice],
        [f"alice:{alice[:-1]}"],
        [f"alice:{alice}", f"bob:{alice}"],
        [f"a:{alice}", f"a:{bob}"],
        [f"alice:{alice[:10]}{'A' if alice[10] != 'A' else 'B'}{alice[11:]}"],
    ):
        with pytest.raises(ValueError, match=r"NAME:U|once|no public NKey"):
            parse_senders(wrong)
        with pytest.raises(config.ConfigError, match=r"\[nats\] command_senders"):
            config.load(None, (), (f"nats.command_senders={','.join(wrong)}",))


def test_row_36_an_instance_needs_a_name_that_fits_a_subject() -> None:
    with pytest.raises(config.ConfigError, match=r"\[nats\] command_instance: 'a\.b' is not"):
        config.load(None, (), ("nats.command_instance=a.b",))


def test_nothing_that_a_terminal_would_obey_gets_through() -> None:
    assert printable("a\x1b[31m\nb\r\tc\u202e\x07") == "a [31m b c"
    verdict = judged(gate(), order(text="\x1b]0;owned\x07 why"))
    assert verdict.command is not None
    assert verdict.command.message == "]0;owned why"
