"""Vault and KMS sign for the executor: no duty cycle waits for them, and what changed meanwhile counts."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from service_support import PATIENT, QUIET, House, make_plan, results, settings, signatures, submissions
from solders.signature import Signature

from hft import wire
from hft.chain.base58 import b58encode
from hft.chain.keys import paper_keypair
from hft.chain.keystore_memory import Secret
from hft.chain.signers import Signer
from hft.chain.signers_kms import AwsCredentials, KmsSigner
from hft.chain.signers_vault import VaultSigner
from hft.runtime.context import Context
from hft.services.executor import Executor
from hft.wire.enums import EndState, ExecutionReason, KillTrigger
from tests.chain.signing_services import (
    ACCESS_KEY,
    REGION,
    SECRET_KEY,
    TOKEN,
    Answer,
    Request,
    Service,
    kms,
    serve,
    vault,
)

Make = Callable[..., House]
CONFIG = settings(simnet=QUIET, planner=PATIENT)
KEY = paper_keypair(CONFIG.simnet.seed)


def of_vault(service: Service) -> Signer:
    return VaultSigner(service.url, "hot", Secret(TOKEN.encode()), timeout_s=30)


def of_kms(service: Service) -> Signer:
    credentials = AwsCredentials(ACCESS_KEY, Secret(SECRET_KEY.encode()))
    return KmsSigner(REGION, "alias/hot", endpoint_url=service.url, credentials=credentials, timeout_s=30)


class Signed:
    """A run with one real plan on ``planned``, and an executor whose key is elsewhere. ``release`` lets the
    service answer."""

    def __init__(self, run: House, service: Service, opener: Callable[[Service], Signer]) -> None:
        self.run, self.service = run, service
        self.plan = wire.execution_plan.decode(make_plan(run))
        run.open("manager")
        self._asked, self._release = threading.Event(), threading.Event()
        ctx = run.contexts["executor"] = Context("executor", run.run, run.clock)
        self.executor = run.services["executor"] = Executor(ctx, signer=opener(service))
        self.behave = service.behaviour

        def slowly(request: Request) -> Answer:
            self._asked.set()
            self._release.wait(60)
            return self.behave(request)

        service.behaviour = slowly
        self.executor.on_start()
        link, self.executor.primary = self.executor.primary, run.reader("executed", "nothing")
        access, work = self.executor.access, self.executor.work
        run.until(lambda: access.watchers.blockhash() is not None and work.lamports is not None)
        self.executor.primary.close()
        self.executor.primary = link

    def until_asked(self) -> None:
        self.run.until(self._asked.is_set)

    def release(self) -> None:
        self._release.set()

    def result(self) -> Any:
        self.run.until(lambda: self.run.count("executor", "out_executed") == 1)
        (result,) = results(self.run)
        return result


@pytest.fixture
def signed(house: Make) -> Iterator[Signed]:
    with serve(vault([KEY])) as service:
        made = Signed(house(CONFIG), service, of_vault)
        yield made
        made.release()


@pytest.mark.parametrize(("behaviour", "opener"), [(vault([KEY]), of_vault), (kms(KEY), of_kms)])
def test_a_plan_is_signed_elsewhere_while_the_duty_cycle_goes_on(
    house: Make, behaviour: Any, opener: Callable[[Service], Signer]
) -> None:
    with serve(behaviour) as service:
        made = Signed(house(CONFIG), service, opener)
        run, executor, plan = made.run, made.executor, made.plan
        made.until_asked()
        run.cycle()
        assert (executor.pending(), run.count("executor", "open_plans")) == (1, 1)
        assert executor.work.base_token_free == executor.work.base_token - plan.amount_in
        assert executor.work.open_of[plan.strategy] == 1
        assert (executor.access.sending, submissions(run)) == (0, [])
        made.release()
        result = made.result()
        assert (result.end_state, result.reason) == (EndState.LANDED_OK, ExecutionReason.NONE)
        assert signatures(run) == {b58encode(result.signature)}
        assert result.exec_received_ns < result.signed_ns <= result.submitted_ns
        assert Signature(result.signature) != Signature.default()
        run.cycle()
        assert (executor.pending(), executor.work.open_of[plan.strategy]) == (0, 0)


def kill(made: Signed) -> None:
    now_ns = made.run.clock.monotonic_ns()
    made.run.control.trip(KillTrigger.MANUAL, "test", "by hand", now_ns, made.run.clock.unix_ns())


def lose_a_fork(made: Signed) -> None:
    page = made.run.segments.pages["feed"]
    page.set(page.index("revert_slot"), made.plan.slot)
    page.set(page.index("revert_ns"), made.plan.received_ns)


def fill_the_journal(made: Signed) -> None:
    page = made.run.segments.pages["sidecar"]
    page.set(page.index("journal_full"), 1)


def end_its_life(made: Signed) -> None:
    (work,) = made.executor.work.open.values()
    work.plan = work.plan._replace(expires_ns=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (kill, ExecutionReason.KILLED),
        (lose_a_fork, ExecutionReason.FORK_REVERTED),
        (fill_the_journal, ExecutionReason.JOURNAL_FULL),
        (end_its_life, ExecutionReason.PLAN_EXPIRED),
    ],
)
def test_row_21_what_changed_while_it_was_signed_keeps_it_from_being_sent(
    signed: Signed, change: Callable[[Signed], None], reason: ExecutionReason
) -> None:
    signed.until_asked()
    change(signed)
    signed.release()
    result = signed.result()
    assert (result.end_state, result.reason) == (EndState.REJECTED, reason)
    assert (result.signature, result.submitted_ns) == (bytes(64), 0)
    assert submissions(signed.run) == []
    assert not signed.executor.access.writer.journal.open
    assert signed.executor.pending() == 0


def test_row_28_a_service_that_does_not_sign_ends_the_plan_and_tells_no_secret(signed: Signed) -> None:
    signed.until_asked()
    signed.behave = lambda _: (503, {"errors": ["Vault is sealed"]})
    signed.release()
    result = signed.result()
    assert (result.end_state, result.reason) == (EndState.REJECTED, ExecutionReason.SIGNING_FAILED)
    detail = bytes(result.detail).decode()
    assert detail.startswith("failed: Vault answers 503 for key hot: Vault is sealed")
    assert TOKEN not in detail
    assert submissions(signed.run) == []


def test_row_34_what_is_not_signed_at_the_end_of_a_run_is_rejected(signed: Signed) -> None:
    signed.until_asked()
    signed.run.shut("executor")
    (result,) = results(signed.run)
    assert (result.end_state, result.reason) == (EndState.REJECTED, ExecutionReason.SHUTDOWN)
    signed.release()
    assert submissions(signed.run) == []
