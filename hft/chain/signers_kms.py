"""Signing by AWS KMS: key spec ECC_NIST_EDWARDS25519, algorithm ED25519_SHA_512, message type RAW.

    POST /   X-Amz-Target: TrentService.GetPublicKey | TrentService.Sign
             {"KeyId", "Message": base64, "MessageType": "RAW", "SigningAlgorithm": "ED25519_SHA_512"}

Requests are signed (Signature Version 4) by AWS's own common runtime, ``awscrt``, which also finds the
credentials: environment, profile, container or instance.
"""

import base64
import binascii
import io
import json
from collections.abc import Mapping
from typing import Any, Final, NoReturn

from solders.pubkey import Pubkey

from hft.chain.keystore_memory import Secret
from hft.chain.signers import SignerError, SignerErrorCode
from hft.chain.signers_http import DEFAULT_TIMEOUT_S, HttpService, checked_signature

KEY_SPEC: Final = "ECC_NIST_EDWARDS25519"
ALGORITHM: Final = "ED25519_SHA_512"
MAX_RAW_MESSAGE: Final = 4096
_SPKI_HEAD = bytes.fromhex("302a300506032b6570032100")
"""DER before the 32 bytes of an Ed25519 public key (RFC 8410)."""
_CODES: Final[Mapping[str, SignerErrorCode]] = {
    "NotFoundException": SignerErrorCode.KEY_MISSING,
    "AccessDeniedException": SignerErrorCode.DENIED,
    "UnrecognizedClientException": SignerErrorCode.DENIED,
    "InvalidSignatureException": SignerErrorCode.DENIED,
    "IncompleteSignatureException": SignerErrorCode.DENIED,
    "ExpiredTokenException": SignerErrorCode.DENIED,
    "ThrottlingException": SignerErrorCode.THROTTLED,
    "LimitExceededException": SignerErrorCode.THROTTLED,
}


class AwsCredentials:
    """Fixed credentials; without any, AWS's own chain finds them."""

    __slots__ = ("access_key_id", "secret_access_key", "session_token")

    def __init__(
        self, access_key_id: str, secret_access_key: Secret, session_token: Secret | None = None
    ) -> None:
        self.access_key_id = access_key_id
        self.secret_access_key = secret_access_key
        self.session_token = session_token

    def __repr__(self) -> str:
        return f"AwsCredentials({self.access_key_id})"


class KmsSigner:
    """A signer whose key is in AWS KMS. Every signature is checked against the public key before its use."""

    public_key: bytes = b""

    def __init__(
        self,
        region: str,
        key_id: str,
        *,
        endpoint_url: str = "",
        credentials: AwsCredentials | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> None:
        """``key_id``: id, ARN or alias. ``SignerError``: CONFIGURATION, KEY_MISSING, DENIED, UNREACHABLE,
        TIMEOUT, BAD_ANSWER, THROTTLED, WRONG_KEY (not an Ed25519 signing key).
        """
        self._region, self._key_id, self._timeout_s = region, key_id, timeout_s
        try:
            import awscrt.auth
            import awscrt.http
        except ImportError:
            raise SignerError(
                SignerErrorCode.CONFIGURATION, "AWS KMS needs the package awscrt: install hft[aws]"
            ) from None
        self._auth, self._awshttp = awscrt.auth, awscrt.http
        url = endpoint_url or f"https://kms.{region}.amazonaws.com"
        self._service = HttpService("AWS KMS", url, timeout_s)
        self._provider = self._credentials(credentials)
        self.public_key = self._find()

    def sign(self, message: bytes) -> bytes:
        """One round trip; at most 4096 bytes of message. ``SignerError`` as when made."""
        if len(message) > MAX_RAW_MESSAGE:
            raise SignerError(
                SignerErrorCode.CONFIGURATION,
                f"message of {len(message)} bytes: AWS KMS signs at most {MAX_RAW_MESSAGE} raw",
            )
        body = {
            "KeyId": self._key_id,
            "Message": base64.b64encode(message).decode(),
            "MessageType": "RAW",
            "SigningAlgorithm": ALGORITHM,
        }
        answer = self._ask("Sign", body)
        return checked_signature("AWS KMS", self.public_key, message, self._decoded(answer.get("Signature")))

    def close(self) -> None:
        """Ends the connection."""
        self._service.close()

    def __repr__(self) -> str:
        address = Pubkey(self.public_key) if self.public_key else "not known yet"
        return f"KmsSigner({self._region}, {self._key_id}, {address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer can't be pickled")

    def _credentials(self, given: AwsCredentials | None) -> Any:
        provider = self._auth.AwsCredentialsProvider
        if given is None:
            from awscrt.io import ClientBootstrap

            return provider.new_default_chain(ClientBootstrap.get_or_create_static_default())
        return provider.new_static(
            given.access_key_id,
            given.secret_access_key.reveal().decode("ascii"),
            None if given.session_token is None else given.session_token.reveal().decode("ascii"),
        )

    def _find(self) -> bytes:
        found = self._ask("GetPublicKey", {"KeyId": self._key_id})
        if found.get("KeySpec") != KEY_SPEC or found.get("KeyUsage") != "SIGN_VERIFY":
            raise SignerError(
                SignerErrorCode.WRONG_KEY,
                f"AWS KMS key {self._key_id} is {found.get('KeySpec')} for {found.get('KeyUsage')}: "
                f"{KEY_SPEC} for SIGN_VERIFY belongs there",
            )
        encoded = self._decoded(found.get("PublicKey"))
        if len(encoded) != len(_SPKI_HEAD) + 32 or not encoded.startswith(_SPKI_HEAD):
            self._bad("no Ed25519 public key")
        return encoded[len(_SPKI_HEAD) :]

    def _ask(self, action: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        content = json.dumps(body).encode()
        answer = self._service.request("POST", "/", self._signed_headers(action, content), content)
        if answer.status == 200:
            return answer.body
        kind = str(answer.body.get("__type", "")).rpartition("#")[2]
        said = str(answer.body.get("message") or answer.body.get("Message") or "no reason")[:200]
        raise SignerError(
            _CODES.get(kind, SignerErrorCode.FAILED),
            f"AWS KMS answers {answer.status} {kind} for key {self._key_id}: {said}",
        )

    def _signed_headers(self, action: str, content: bytes) -> dict[str, str | Secret]:
        headers = self._awshttp.HttpHeaders(
            [
                ("Host", self._service.host),
                ("Content-Type", "application/x-amz-json-1.1"),
                ("X-Amz-Target", f"TrentService.{action}"),
            ]
        )
        request = self._awshttp.HttpRequest("POST", "/", headers, io.BytesIO(content))
        config = self._auth.AwsSigningConfig(
            algorithm=self._auth.AwsSigningAlgorithm.V4,
            signature_type=self._auth.AwsSignatureType.HTTP_REQUEST_HEADERS,
            credentials_provider=self._provider,
            region=self._region,
            service="kms",
        )
        try:
            signed = self._auth.aws_sign_request(request, config).result(self._timeout_s)
        except Exception as error:  # awscrt raises its own and concurrent.futures' kinds
            raise SignerError(
                SignerErrorCode.CONFIGURATION, f"no AWS credentials to sign with: {type(error).__name__}"
            ) from None
        return dict(signed.headers)

    def _decoded(self, text: Any) -> bytes:
        try:
            return base64.b64decode(text, validate=True)
        except (binascii.Error, TypeError, ValueError):
            self._bad("no base64")

    def _bad(self, what: str) -> NoReturn:
        raise SignerError(SignerErrorCode.BAD_ANSWER, f"AWS KMS answers {what} for key {self._key_id}")
