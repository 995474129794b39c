"""A landed transaction is read before its end is told: by a question at least, however late it is."""

import asyncio
from pathlib import Path

import pytest

from hft.chain.desk import LEAST_QUESTIONS, Desk, DeskEvent, ReadTimes, Settled
from hft.wire.enums import EndState
from tests.chain.rpc_support import MILLISECOND, SECOND, until
from tests.chain.simnet_support import Simnet, soon
from tests.chain.submission_support import Bench, with_desk

OVER = ReadTimes(again_ns=MILLISECOND, ask_ns=5 * SECOND, limit_ns=0)
"""The time is over when the first question could be put: as after a pause of the whole process."""


@pytest.mark.parametrize("answered", [True, False])
def test_time_that_passed_while_nobody_asked_is_not_held_against_a_landing(
    simnet: Simnet, tmp_path: Path, answered: bool
) -> None:
    if not answered:
        simnet.fault("rpc_error", method="getTransaction", times=0, code=-32603)

    async def work(bench: Bench) -> None:
        events: list[DeskEvent] = []
        desk = Desk(
            *(bench.rpc, bench.writer, bench.follower, bench.submitter, ()),
            asyncio.create_task,
            times=OVER,
        )
        tasks = [asyncio.create_task(task) for task in desk.tasks()]
        desk.submit(await bench.intent(), soon())
        await until(lambda: desk.poll(events.append) > 0 and isinstance(events[-1], Settled))
        settled = events[-1]
        assert isinstance(settled, Settled)
        assert settled.end.state is EndState.LANDED_OK
        assert (settled.landing is not None) is answered
        assert desk.counts["read_faults"] == (0 if answered else LEAST_QUESTIONS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with_desk(simnet, tmp_path, work)
