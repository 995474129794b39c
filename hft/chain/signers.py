"""Who signs: one interface, whether the key is in this process or in a service that never gives it out.

A secret has no way out of these objects: not by ``repr``, ``str``, pickling, a traceback's locals or a
comparison. Where a message is signed remotely it costs a network round trip: for a treasury, not for the hot
wallet.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final, NoReturn, Protocol

from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from solders.keypair import Keypair
from solders.pubkey import Pubkey

SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64


class Signer(Protocol):
    """Something that signs with Ed25519."""

    @property
    def public_key(self) -> bytes:
        """32 bytes: the wallet's address."""

    def sign(self, message: bytes) -> bytes:
        """The 64 bytes of the signature over ``message``. ``SignerError`` if there is none to be had."""


class SignerErrorCode(IntEnum):
    """Why a signer did not sign."""

    UNREACHABLE = 1
    TIMEOUT = 2
    DENIED = 3
    KEY_MISSING = 4
    WRONG_KEY = 5
    BAD_ANSWER = 6
    THROTTLED = 7
    FAILED = 8
    CONFIGURATION = 9


class SignerError(Exception):
    """No signature; the text names the service and the reason, never a secret."""

    def __init__(self, code: SignerErrorCode, message: str) -> None:
        super().__init__(f"{code.name.lower()}: {message}")
        self.code = code


class LocalSigner:
    """Signs in this process with libsodium (about half of what solders' signature costs)."""

    __slots__ = ("_sign", "public_key")

    public_key: bytes

    def __init__(self, seed: bytes | bytearray) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"seed of {len(seed)} bytes: {SEED_BYTES} belong there")
        self.public_key, self._sign = _bound(bytes(seed))

    @classmethod
    def of(cls, keypair: Keypair) -> "LocalSigner":
        """The signer of a solders key pair."""
        return cls(bytes(keypair)[:SEED_BYTES])

    def sign(self, message: bytes) -> bytes:
        return self._sign(message)[:SIGNATURE_BYTES]

    def sign_before(self, message: bytes) -> bytes:
        """Signature and message in one piece, as libsodium gives them: the tail of a wire transaction."""
        return self._sign(message)

    def __repr__(self) -> str:
        return f"LocalSigner({Pubkey(self.public_key)})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer can't be pickled: its key stays in this process")

    def __copy__(self) -> "LocalSigner":
        return self

    def __deepcopy__(self, _memo: object) -> "LocalSigner":
        return self


def _bound(seed: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """Public key, and the signing function that alone knows the secret one: nothing a ``repr`` would show."""
    public_key, secret = crypto_sign_seed_keypair(seed)

    def signed(message: bytes) -> bytes:
        return crypto_sign(message, secret)

    return public_key, signed
