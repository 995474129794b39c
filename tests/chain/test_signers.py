"""Signers: one interface; local, Vault and AWS KMS, against HTTP servers on this machine."""

import base64
import copy
import pickle
import socket
import traceback
from collections.abc import Callable, Iterator

import pytest
from signing_services import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    TOKEN,
    Answer,
    Behaviour,
    Request,
    Service,
    kms,
    serve,
    vault,
)
from solders.keypair import Keypair
from solders.signature import Signature

from hft.chain.keys import paper_keypair
from hft.chain.keystore_memory import Secret
from hft.chain.signers import LocalSigner, Signer, SignerError, SignerErrorCode
from hft.chain.signers_kms import AwsCredentials, KmsSigner
from hft.chain.signers_vault import VaultSigner
from hft.chain.wallets import PickPolicy, Wallet, Wallets, WalletState

KEY, OTHER = paper_keypair(1), paper_keypair(2)
MESSAGE = bytes(range(200))
Open = Callable[[Service], Signer]


def open_vault(service: Service, **options: object) -> VaultSigner:
    return VaultSigner(service.url, "hot", Secret(TOKEN.encode()), timeout_s=0.5, **options)  # type: ignore[arg-type]


def open_kms(service: Service, key_id: str = "alias/hot", wrong: str = "") -> KmsSigner:
    credentials = AwsCredentials(ACCESS_KEY, Secret((wrong or SECRET_KEY).encode()))
    return KmsSigner(REGION, key_id, endpoint_url=service.url, credentials=credentials, timeout_s=0.5)


@pytest.fixture(params=["vault", "kms"])
def remote(request: pytest.FixtureRequest) -> Iterator[tuple[Service, Open]]:
    behaviour, opener = {"vault": (vault([KEY]), open_vault), "kms": (kms(KEY), open_kms)}[request.param]
    with serve(behaviour) as service:
        yield service, opener


def code_of(action: Callable[[], object]) -> SignerErrorCode:
    with pytest.raises(SignerError) as caught:
        action()
    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert TOKEN not in shown
    assert SECRET_KEY not in shown
    return caught.value.code


def test_the_local_signer_signs_as_solders_does() -> None:
    signer = LocalSigner.of(KEY)
    assert signer.public_key == bytes(KEY.pubkey())
    assert signer.sign(MESSAGE) == bytes(KEY.sign_message(MESSAGE))
    assert signer.sign_before(MESSAGE) == bytes(KEY.sign_message(MESSAGE)) + MESSAGE
    with pytest.raises(ValueError, match="31 bytes"):
        LocalSigner(bytes(31))


def test_a_remote_signer_gives_the_same_signature(remote: tuple[Service, Open]) -> None:
    service, opener = remote
    signer = opener(service)
    assert signer.public_key == bytes(KEY.pubkey())
    assert signer.sign(MESSAGE) == bytes(KEY.sign_message(MESSAGE))
    assert Signature(signer.sign(b"x")).verify(KEY.pubkey(), b"x")
    assert len(service.requests) == 3


def changed(service: Service, status: int, body: object) -> None:
    def behave(_: Request) -> Answer:
        return status, body

    service.behaviour = behave


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"no json", SignerErrorCode.BAD_ANSWER),
        (200, [1], SignerErrorCode.BAD_ANSWER),
        (200, {"data": {"signature": "vault:v1:!"}, "Signature": "!"}, SignerErrorCode.BAD_ANSWER),
        (200, {"data": {"signature": "vault:v1:AAAA"}, "Signature": "AAAA"}, SignerErrorCode.BAD_ANSWER),
        (200, {"data": {}}, SignerErrorCode.BAD_ANSWER),
        (200, b"{" + b" " * 70_000 + b"}", SignerErrorCode.BAD_ANSWER),
        (500, b"<html>", SignerErrorCode.FAILED),
        (503, {"errors": ["Vault is sealed"]}, SignerErrorCode.FAILED),
        (302, {}, SignerErrorCode.FAILED),
    ],
)
def test_an_answer_that_is_no_signature_is_refused(
    remote: tuple[Service, Open], status: int, body: object, code: SignerErrorCode
) -> None:
    service, opener = remote
    signer = opener(service)
    changed(service, status, body)
    assert code_of(lambda: signer.sign(MESSAGE)) is code


def test_a_signature_of_another_key_is_refused(remote: tuple[Service, Open]) -> None:
    service, opener = remote
    signer = opener(service)
    wrong = base64.b64encode(bytes(OTHER.sign_message(MESSAGE))).decode()
    changed(service, 200, {"data": {"signature": f"vault:v1:{wrong}"}, "Signature": wrong})
    assert code_of(lambda: signer.sign(MESSAGE)) is SignerErrorCode.WRONG_KEY


def test_a_service_that_hangs_or_is_gone_is_told(remote: tuple[Service, Open]) -> None:
    service, opener = remote
    signer = opener(service)

    def hang(_: Request) -> Answer:
        service.released.wait(20)
        return 200, {}

    service.behaviour = hang
    assert code_of(lambda: signer.sign(MESSAGE)) is SignerErrorCode.TIMEOUT
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        service.url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert code_of(lambda: opener(service)) is SignerErrorCode.UNREACHABLE


def test_row_28_a_signer_shows_no_secret(remote: tuple[Service, Open]) -> None:
    service, opener = remote
    for signer in (LocalSigner.of(KEY), opener(service)):
        shown = repr(signer) + str(signer) + repr(vars(signer) if hasattr(signer, "__dict__") else "")
        assert str(KEY.pubkey()) in shown
        for secret in (bytes(KEY)[:32], TOKEN.encode(), SECRET_KEY.encode()):
            assert repr(secret)[2:-1] not in shown
            assert secret.hex() not in shown
        with pytest.raises(TypeError, match="pickled"):
            pickle.dumps(signer)
    local = LocalSigner.of(KEY)
    assert copy.copy(local) is local
    assert copy.deepcopy(local) is local


@pytest.mark.parametrize(
    ("behaviour", "options", "code"),
    [
        (vault([KEY], kind="aes256-gcm96"), {}, SignerErrorCode.WRONG_KEY),
        (vault([KEY]), {"key_version": 2}, SignerErrorCode.KEY_MISSING),
        (vault([KEY]), {"mount": "other"}, SignerErrorCode.KEY_MISSING),
        (vault([KEY]), {"mount": "../sys"}, SignerErrorCode.KEY_MISSING),
        (vault([KEY]), {"mount": "a b"}, SignerErrorCode.CONFIGURATION),
    ],
)
def test_vault_refusals(behaviour: Behaviour, options: dict[str, object], code: SignerErrorCode) -> None:
    with serve(behaviour) as service:
        assert code_of(lambda: open_vault(service, **options)) is code


def test_vault_denies_a_wrong_token_and_a_throttled_one() -> None:
    with serve(vault([KEY])) as service:
        refused = code_of(lambda: VaultSigner(service.url, "hot", Secret(b"hvs.another")))
        assert refused is SignerErrorCode.DENIED
        signer = open_vault(service, namespace="team")
        assert service.requests[-1].headers["x-vault-namespace"] == "team"
        changed(service, 429, {"errors": ["rate limit"]})
        assert code_of(lambda: signer.sign(MESSAGE)) is SignerErrorCode.THROTTLED


def test_a_key_rotated_in_vault_leaves_the_wallet_as_it_was() -> None:
    keys = [KEY]
    with serve(vault(keys)) as service:
        signer = open_vault(service)
        keys.append(OTHER)
        assert signer.sign(MESSAGE) == bytes(KEY.sign_message(MESSAGE))
        assert open_vault(service).public_key == bytes(OTHER.pubkey())
        assert open_vault(service, key_version=1).public_key == bytes(KEY.pubkey())


def test_kms_refusals() -> None:
    with serve(kms(KEY)) as service:
        missing = code_of(lambda: open_kms(service, "alias/other"))
        assert missing is SignerErrorCode.KEY_MISSING
        assert code_of(lambda: open_kms(service, wrong="another")) is SignerErrorCode.DENIED
        signer = open_kms(service)
        assert code_of(lambda: signer.sign(bytes(4097))) is SignerErrorCode.CONFIGURATION
        changed(service, 400, {"__type": "x#ThrottlingException", "message": "Rate exceeded"})
        assert code_of(lambda: signer.sign(MESSAGE)) is SignerErrorCode.THROTTLED
        changed(service, 400, {"__type": "x#AccessDeniedException", "Message": "no kms:Sign"})
        assert code_of(lambda: signer.sign(MESSAGE)) is SignerErrorCode.DENIED
    with serve(kms(KEY, spec="ECC_SECG_P256K1")) as service:
        assert code_of(lambda: open_kms(service)) is SignerErrorCode.WRONG_KEY


@pytest.mark.parametrize(
    "url", ["http://vault.example:8200", "ftp://127.0.0.1", "127.0.0.1:8200", "http://user:word@127.0.0.1"]
)
def test_a_token_is_never_sent_in_the_clear_to_another_machine(url: str) -> None:
    def make() -> VaultSigner:
        return VaultSigner(url, "hot", Secret(TOKEN.encode()))

    assert code_of(make) is SignerErrorCode.CONFIGURATION


def wallets(policy: PickPolicy, count: int = 3) -> Wallets:
    keys: list[Keypair] = [paper_keypair(seed) for seed in range(count)]
    return Wallets([Wallet(f"w{seed}", LocalSigner.of(key)) for seed, key in enumerate(keys)], policy)


def states(*figures: tuple[int, int, int]) -> dict[bytes, WalletState]:
    return {bytes(paper_keypair(seed).pubkey()): WalletState(*figure) for seed, figure in enumerate(figures)}


@pytest.mark.parametrize(
    ("policy", "picked"),
    [
        (PickPolicy.ROUND_ROBIN, ["w0", "w1", "w2", "w0"]),
        (PickPolicy.RICHEST, ["w1", "w1", "w1", "w1"]),
        (PickPolicy.LEAST_BUSY, ["w2", "w2", "w2", "w2"]),
    ],
)
def test_wallets_are_picked_by_policy(policy: PickPolicy, picked: list[str]) -> None:
    ours = wallets(policy)
    now = states((50, 1, 9), (90, 1, 5), (70, 0, 7))
    found = [ours.pick(now, 10, 2) for _ in picked]
    assert [wallet.name if wallet else None for wallet in found] == picked


@pytest.mark.parametrize("policy", list(PickPolicy))
def test_row_27_a_wallet_that_cannot_pay_is_not_picked(policy: PickPolicy) -> None:
    ours = wallets(policy)
    rich = (100, 0, 1)
    names = [ours.pick(states((9, 0, 0), rich, (100, 2, 0)), 10, 2) for _ in range(3)]
    assert [wallet.name if wallet else None for wallet in names] == ["w1"] * 3
    assert ours.pick(states((9, 0, 0), (9, 0, 0), (9, 0, 0)), 10, 2) is None
    assert ours.pick({}, 0, 2) is None


def test_wallets_know_their_own() -> None:
    ours = wallets(PickPolicy.ROUND_ROBIN)
    assert ours.addresses == frozenset(bytes(paper_keypair(seed).pubkey()) for seed in range(3))
    assert ours[bytes(paper_keypair(2).pubkey())].name == "w2"
    with pytest.raises(KeyError):
        ours[bytes(32)]
    with pytest.raises(ValueError, match="at least one"):
        Wallets([])
    same = Wallet("a", LocalSigner.of(KEY))
    with pytest.raises(ValueError, match="each key once"):
        Wallets([same, same._replace(name="b")])
