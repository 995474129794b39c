"""Several wallets, and which one pays for the next plan."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from hft.chain.signers import Signer


class PickPolicy(StrEnum):
    """Who is next among the wallets that can pay."""

    ROUND_ROBIN = "round_robin"
    """In turns: the load is even."""
    RICHEST = "richest"
    """The most SOL: balances even out."""
    LEAST_BUSY = "least_busy"
    """The fewest plans under way, then the longest not used: fewest write locks contended."""


class Wallet(NamedTuple):
    """A name for people, and who signs for it."""

    name: str
    signer: Signer

    @property
    def address(self) -> bytes:
        """32 bytes."""
        return self.signer.public_key


class WalletState(NamedTuple):
    """What is known of a wallet now. A wallet without a state is not picked."""

    lamports: int
    open_plans: int
    last_used_ns: int


class Wallets:
    """Wallets in a fixed order, picked by a policy."""

    def __init__(self, wallets: Sequence[Wallet], policy: PickPolicy = PickPolicy.ROUND_ROBIN) -> None:
        addresses = [wallet.address for wallet in wallets]
        names = [wallet.name for wallet in wallets]
        if not wallets:
            raise ValueError("no wallet: at least one belongs here")
        if len(set(addresses)) != len(addresses) or len(set(names)) != len(names):
            raise ValueError(f"wallets {', '.join(names)}: each name and each key once")
        self._wallets = tuple(wallets)
        self._policy = policy
        self._turn = 0

    def __len__(self) -> int:
        return len(self._wallets)

    def __getitem__(self, address: bytes) -> Wallet:
        """The wallet with an address; ``KeyError`` if it is not ours."""
        for wallet in self._wallets:
            if wallet.address == address:
                return wallet
        raise KeyError(address)

    @property
    def addresses(self) -> frozenset[bytes]:
        """All our addresses: what a reading calls ``wallets``."""
        return frozenset(wallet.address for wallet in self._wallets)

    def pick(
        self, states: Mapping[bytes, WalletState], needed_lamports: int, maximum_open_plans: int
    ) -> Wallet | None:
        """The wallet for a plan that needs ``needed_lamports`` of SOL; None if none holds so much with fewer
        than ``maximum_open_plans`` under way.
        """
        count = len(self._wallets)
        able: list[tuple[int, Wallet, WalletState]] = []
        for place in range(count):
            wallet = self._wallets[(self._turn + place) % count]
            state = states.get(wallet.address)
            if (
                state is not None
                and state.lamports >= needed_lamports
                and state.open_plans < maximum_open_plans
            ):
                able.append((place, wallet, state))
        if not able:
            return None
        if self._policy is PickPolicy.RICHEST:
            able.sort(key=lambda entry: -entry[2].lamports)
        elif self._policy is PickPolicy.LEAST_BUSY:
            able.sort(key=lambda entry: (entry[2].open_plans, entry[2].last_used_ns))
        place, wallet, _ = able[0]
        self._turn = (self._turn + place + 1) % count
        return wallet
