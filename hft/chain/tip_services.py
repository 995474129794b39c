"""Addresses that take tips for sending transactions: Jito's, and those of other services.

Others' are public addresses from their documentation; a payment to an address that is not here is a payment
like any other.
"""

from collections.abc import Mapping
from typing import Final

from solders.pubkey import Pubkey

from hft.chain.tips import TIP_ACCOUNTS

JITO: Final = "jito"

_HELIUS = """
    4ACfpUFoaSD9bfPdeu6DBt89gB6ENTeHBXCAi87NhDEE D2L6yPZ2FmmmTKPgzaMKdhu6EWZcTpLy1Vhx8uvZe7NZ
    9bnz4RShgq1hAnLnZbP8kbgBg1kEmcJBYQq3gQbmnSta 5VY91ws6B2hMmBFRsXkoAAdsPHBJwRfBht4DXox3xkwn
    2nyhqdwKcJZR2vcqCyrYsaPVdAnFoJjiksCXJ7hfEYgD 2q5pghRs6arqVjRvT5gfgWfWcHWmw1ZuCzphgd5KfWGJ
    wyvPkWjVZz1M8fHQnMMCDTQDbkManefNNhweYk5WkcF 3KCKozbAaF75qEU33jtzozcJ29yJuaLJTy2jFdzUY8bT
    4vieeGHPYPG2MmyPRcYjdiDmmhN3ww7hsFNap8pVN3Ey 4TQLFNWK8AovT1gFvda5jfw2oJeRMKEmw7aH6MGBJ3or
"""
_ASTRALANE = """
    astrazznxsGUhWShqgNtAdfrzP2G83DzcWVJDxwV9bF astra4uejePWneqNaJKuFFA8oonqCE1sqF6b45kDMZm
    astra9xWY93QyfG6yM8zwsKsRodscjQ2uU2HKNL5prk astraRVUuTHjpwEVvNBeQEgwYx9w9CFyfxjYoobCZhL
    astraEJ2fEj8Xmy6KLG7B3VfbKfsHXhHrNdCQx7iGJK astraubkDw81n4LuutzSQ8uzHCv4BhPVhfvTcYv8SKC
    astraZW5GLFefxNPAatceHhYjfA1ciq9gvfEg2S47xk astrawVNP4xDBKT7rAdxrLYiTSTdqtUr63fSMduivXK
    AstrA1ejL4UeXC2SBP4cpeEmtcFPZVLxx3XGKXyCW6to AsTra79FET4aCKWspPqeSFvjJNyp96SvAnrmyAxqg5b7
    AstrABAu8CBTyuPXpV4eSCJ5fePEPnxN8NqBaPKQ9fHR AsTRADtvb6tTmrsqULQ9Wji9PigDMjhfEMza6zkynEvV
    AsTRAEoyMofR3vUPpf9k68Gsfb6ymTZttEtsAbv8Bk4d AStrAJv2RN2hKCHxwUMtqmSxgdcNZbihCwc1mCSnG83W
    Astran35aiQUF57XZsmkWMtNCtXGLzs8upfiqXxth2bz AStRAnpi6kFrKypragExgeRoJ1QnKH7pbSjLAKQVWUum
    ASTRaoF93eYt73TYvwtsv6fMWHWbGmMUZfVZPo3CRU9C
"""


def _keys(text: str) -> tuple[bytes, ...]:
    return tuple(bytes(Pubkey.from_string(name)) for name in text.split())


TIP_SERVICES: Final[Mapping[bytes, str]] = {
    **dict.fromkeys(TIP_ACCOUNTS, JITO),
    **dict.fromkeys(_keys(_HELIUS), "helius"),
    **dict.fromkeys(_keys(_ASTRALANE), "astralane"),
}


def tip_service(account: bytes) -> str:
    """Name of the service that ``account`` takes tips for; empty if it is none we know."""
    return TIP_SERVICES.get(account, "")
