"""One HTTP request to a signing service: bounded in time and size, its failures coded.

Not repeated here: an Ed25519 signature is the same each time, so the caller may ask again while the plan
lives.
"""

import ipaddress
import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey
from solders.pubkey import Pubkey

from hft.chain.keystore_memory import Secret
from hft.chain.signers import SIGNATURE_BYTES, SignerError, SignerErrorCode

MAX_ANSWER_BYTES: Final = 65_536
DEFAULT_TIMEOUT_S: Final = 2.0


class Answer:
    """What came back: status and JSON (empty if there was none)."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        self.status, self.body = status, body


class HttpService:
    """A signing service behind a URL, over one kept connection. ``name`` is what errors call it."""

    def __init__(self, name: str, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """``SignerError`` CONFIGURATION: no http(s) URL, or plain http to anywhere but this machine."""
        try:
            import httpx2
        except ImportError:
            raise SignerError(
                SignerErrorCode.CONFIGURATION,
                f"{name} needs the package httpx2: install hft[vault] or hft[aws]",
            ) from None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise SignerError(
                SignerErrorCode.CONFIGURATION, f"{name}: https://HOST[:PORT][/PATH] belongs there"
            )
        if parts.scheme == "http" and not _is_loopback(parts.hostname):
            raise SignerError(
                SignerErrorCode.CONFIGURATION,
                f"{name}: http to {parts.hostname} would show token and message: https belongs there",
            )
        self.name = name
        self.url = url.rstrip("/")
        self.host = parts.netloc
        self.timeout_s = timeout_s
        self._http = httpx2
        # trust_env off: no proxy or .netrc that happens to lie around gets to see a token.
        self._client = httpx2.Client(timeout=timeout_s, follow_redirects=False, trust_env=False)

    def request(
        self, method: str, path: str, headers: Mapping[str, str | Secret], content: bytes | None = None
    ) -> Answer:
        """One request; a header that is a ``Secret`` is revealed to the HTTP library alone.

        ``SignerError``: UNREACHABLE, TIMEOUT, BAD_ANSWER (too long, or no JSON object)."""
        try:
            with self._client.stream(
                method, self.url + path, headers=_revealed(headers), content=content
            ) as response:
                received = bytearray()
                for piece in response.iter_bytes():
                    received += piece
                    if len(received) > MAX_ANSWER_BYTES:
                        raise SignerError(
                            SignerErrorCode.BAD_ANSWER, f"{self.name} answers over {MAX_ANSWER_BYTES} bytes"
                        )
                status = int(response.status_code)
        except self._http.TimeoutException:
            raise SignerError(
                SignerErrorCode.TIMEOUT, f"{self.name} did not answer within {self.timeout_s} s"
            ) from None
        except self._http.HTTPError as error:
            raise SignerError(
                SignerErrorCode.UNREACHABLE, f"{self.name} at {self.url}: {type(error).__name__}"
            ) from None
        try:
            body = json.loads(received) if received else {}
        except ValueError:
            body = None
        if not isinstance(body, dict):
            if status == 200:
                raise SignerError(SignerErrorCode.BAD_ANSWER, f"{self.name} answers something else than JSON")
            body = {}
        return Answer(status, body)

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()


def checked_signature(name: str, public_key: bytes, message: bytes, signature: bytes) -> bytes:
    """``signature`` if it is the key's over ``message``. ``SignerError``: BAD_ANSWER (length), WRONG_KEY."""
    if len(signature) != SIGNATURE_BYTES:
        raise SignerError(
            SignerErrorCode.BAD_ANSWER,
            f"{name} answers a signature of {len(signature)} bytes: {SIGNATURE_BYTES} belong there",
        )
    try:
        VerifyKey(public_key).verify(message, signature)
    except BadSignatureError:
        raise SignerError(
            SignerErrorCode.WRONG_KEY, f"{name} signed with another key than {Pubkey(public_key)}"
        ) from None
    return signature


def _revealed(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    return {
        name: value.reveal().decode("ascii") if isinstance(value, Secret) else value
        for name, value in headers.items()
    }


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
