"""Signing by HashiCorp Vault's transit engine: the key never leaves it.

GET  /v1/<mount>/keys/<key>     type ed25519, public keys by version
POST /v1/<mount>/sign/<key>     {"input": base64, "key_version": n} → "vault:v<n>:<base64>", 64 bytes
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from solders.pubkey import Pubkey

from hft.chain.keystore_memory import Secret
from hft.chain.signers import SignerError, SignerErrorCode
from hft.chain.signers_http import DEFAULT_TIMEOUT_S, Answer, HttpService, checked_signature

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_MOUNT = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")
_CODES: Final[Mapping[int, SignerErrorCode]] = {
    403: SignerErrorCode.DENIED,
    404: SignerErrorCode.KEY_MISSING,
    429: SignerErrorCode.THROTTLED,
}


class VaultSigner:
    """A signer whose key is in Vault. Every signature is checked against the public key before it is used.

    Made, it asks Vault for the public key: of ``key_version``, else of the latest, to which it then keeps
    (a rotated key would be another wallet).
    """

    public_key: bytes = b""

    def __init__(
        self,
        url: str,
        key: str,
        token: Secret,
        *,
        mount: str = "transit",
        key_version: int | None = None,
        namespace: str = "",
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """``SignerError`` CONFIGURATION, KEY_MISSING, DENIED, UNREACHABLE, TIMEOUT, BAD_ANSWER, THROTTLED."""
        self._key, self._mount, self._token, self._namespace = key, mount, token, namespace
        if not _NAME.fullmatch(key) or not _MOUNT.fullmatch(mount):
            raise SignerError(
                SignerErrorCode.CONFIGURATION,
                f"Vault key {key!r} in {mount!r}: names of a-z, 0-9, _ . - belong",
            )
        self._service = HttpService("Vault", url, timeout_s)
        self._version, self.public_key = self._find(key_version)

    def sign(self, message: bytes) -> bytes:
        """One round trip. ``SignerError`` as when made, and WRONG_KEY."""
        body = {"input": base64.b64encode(message).decode(), "key_version": self._version}
        path = f"/v1/{self._mount}/sign/{self._key}"
        answer = self._ask("POST", path, json.dumps(body).encode())
        text = answer.body["data"].get("signature")
        head = f"vault:v{self._version}:"
        if not isinstance(text, str) or not text.startswith(head):
            self._bad("no signature of the key's version")
        return checked_signature("Vault", self.public_key, message, self._decoded(text[len(head) :]))

    def close(self) -> None:
        """Ends the connection and forgets the token."""
        self._service.close()
        self._token.wipe()

    def __repr__(self) -> str:
        address = Pubkey(self.public_key) if self.public_key else "not known yet"
        return f"VaultSigner({self._mount}/{self._key}, {address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer can't be pickled")

    def _find(self, version: int | None) -> tuple[int, bytes]:
        data = self._ask("GET", f"/v1/{self._mount}/keys/{self._key}").body["data"]
        if data.get("type") != "ed25519":
            raise SignerError(
                SignerErrorCode.WRONG_KEY, f"Vault key {self._key} is of type {data.get('type')}, not ed25519"
            )
        chosen = data.get("latest_version") if version is None else version
        entry = (data.get("keys") or {}).get(str(chosen))
        if not isinstance(chosen, int) or not isinstance(entry, dict):
            raise SignerError(
                SignerErrorCode.KEY_MISSING,
                f"Vault key {self._key} has no version {chosen} with a public key",
            )
        public_key = self._decoded(entry.get("public_key"))
        if len(public_key) != 32:
            self._bad(f"a public key of {len(public_key)} bytes")
        return chosen, public_key

    def _ask(self, method: str, path: str, content: bytes | None = None) -> Answer:
        headers: dict[str, str | Secret] = {"X-Vault-Token": self._token, "X-Vault-Request": "true"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        if content is not None:
            headers["Content-Type"] = "application/json"
        answer = self._service.request(method, path, headers, content)
        if answer.status != 200:
            said = "; ".join(str(error) for error in answer.body.get("errors") or ())[:200]
            missing = answer.status == 400 and "key not found" in said
            code = (
                SignerErrorCode.KEY_MISSING if missing else _CODES.get(answer.status, SignerErrorCode.FAILED)
            )
            raise SignerError(
                code, f"Vault answers {answer.status} for key {self._key}: {said or 'no reason'}"
            )
        if not isinstance(answer.body.get("data"), dict):
            self._bad("no data")
        return answer

    def _decoded(self, text: Any) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            self._bad("no base64")

    def _bad(self, what: str) -> NoReturn:
        raise SignerError(SignerErrorCode.BAD_ANSWER, f"Vault answers {what} for key {self._key}")
