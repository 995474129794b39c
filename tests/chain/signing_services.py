"""Local stand-ins for Vault's transit engine and AWS KMS: real HTTP servers on the loopback interface."""

import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from solders.keypair import Keypair

ACCESS_KEY, SECRET_KEY, REGION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "eu-central-1"
TOKEN = "hvs.CAESIJ-a-token-of-the-test"


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, Any]
Behaviour = Callable[[Request], Answer]


class Service:
    """A server whose behaviour a test can change; ``requests`` are those it got."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.released = threading.Event()
        self.url = ""


@contextmanager
def serve(behaviour: Behaviour) -> Iterator[Service]:
    service = Service(behaviour)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, self.path, headers, self.rfile.read(length))
            service.requests.append(request)
            status, body = service.behaviour(request)
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = answer

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            with suppress(OSError):  # the client went away, as a test of time-outs has it
                super().handle()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield service
        finally:
            service.released.set()
            server.shutdown()
            thread.join()


def vault(keys: list[Keypair], *, kind: str = "ed25519") -> Behaviour:
    """Transit with one key ``hot``, whose versions are ``keys``."""

    def behave(request: Request) -> Answer:
        if request.headers.get("x-vault-token") != TOKEN:
            return 403, {"errors": ["permission denied"]}
        if request.method == "GET" and request.path == "/v1/transit/keys/hot":
            versions = {
                str(number): {"public_key": base64.b64encode(bytes(key.pubkey())).decode(), "name": "ed25519"}
                for number, key in enumerate(keys, 1)
            }
            return 200, {"data": {"type": kind, "latest_version": len(keys), "keys": versions}}
        if request.method == "POST" and request.path == "/v1/transit/sign/hot":
            asked = json.loads(request.body)
            version = asked.get("key_version") or len(keys)
            message = base64.b64decode(asked["input"], validate=True)
            signature = base64.b64encode(bytes(keys[version - 1].sign_message(message))).decode()
            return 200, {"data": {"signature": f"vault:v{version}:{signature}", "key_version": version}}
        if request.path.startswith("/v1/transit/sign/"):
            return 400, {"errors": ["signing key not found"]}
        return 404, {"errors": []}

    return behave


def kms(key: Keypair, *, spec: str = "ECC_NIST_EDWARDS25519") -> Behaviour:
    """KMS with one key, ``alias/hot``; it checks each request's Signature Version 4."""

    def behave(request: Request) -> Answer:
        refusal = signature_v4_refusal(request)
        if refusal:
            return 400, {
                "__type": "com.amazon.coral.service#" + refusal,
                "message": "The request was refused",
            }
        body = json.loads(request.body)
        if body["KeyId"] != "alias/hot":
            return 400, {"__type": "x#NotFoundException", "message": f"Alias {body['KeyId']} is not found."}
        action = request.headers["x-amz-target"].removeprefix("TrentService.")
        if action == "GetPublicKey":
            der = bytes.fromhex("302a300506032b6570032100") + bytes(key.pubkey())
            return 200, {
                "PublicKey": base64.b64encode(der).decode(),
                "KeySpec": spec,
                "KeyUsage": "SIGN_VERIFY",
                "SigningAlgorithms": ["ED25519_SHA_512"],
            }
        assert action == "Sign"
        assert (body["MessageType"], body["SigningAlgorithm"]) == ("RAW", "ED25519_SHA_512")
        message = base64.b64decode(body["Message"], validate=True)
        return 200, {"Signature": base64.b64encode(bytes(key.sign_message(message))).decode()}

    return behave


def signature_v4_refusal(request: Request) -> str:
    """AWS's own words for a request that is not signed as it should be; empty if it is."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/kms/aws4_request, "
        r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})",
        request.headers.get("authorization", ""),
    )
    if not found:
        return "IncompleteSignatureException"
    access_key, day, region, signed, signature = found.groups()
    if access_key != ACCESS_KEY or region != REGION:
        return "UnrecognizedClientException"
    names = signed.split(";")
    if not {"host", "x-amz-date", "x-amz-target"} <= set(names):
        return "IncompleteSignatureException"
    headers = "".join(f"{name}:{request.headers[name].strip()}\n" for name in names)
    payload = hashlib.sha256(request.body).hexdigest()
    canonical = f"POST\n{request.path}\n\n{headers}\n{signed}\n{payload}"
    scope = f"{day}/{region}/kms/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{request.headers['x-amz-date']}\n{scope}\n{digest}"
    key = b"AWS4" + SECRET_KEY.encode()
    for part in (day, region, "kms", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    wanted = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return "" if hmac.compare_digest(wanted, signature) else "InvalidSignatureException"
