"""Reads a stream of the pipeline from outside: nats-py, flatbuffers, flatc's code, nothing of ours.

    flatc --python -o accessors ../../*.fbs
    pip install nats-py flatbuffers
    python consumer.py nats://127.0.0.1:4222 EXECUTED [--count N] [--durable NAME]

One line of JSON a message. Integers of 64 bits are strings: many readers of JSON lose digits above 2^53.
"""

import argparse
import asyncio
import hashlib
import json
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "accessors"))

import nats
from hft.EndState import EndState
from nats.errors import TimeoutError as NothingCame
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

# A message's bytes 4 to 8 say what it is. A name that is not here comes from a newer schema: it is skipped.
RECORDS = {
    b"HFPU": "PoolUpdate",
    b"HFQU": "Quote",
    b"HFSU": "SlotUpdate",
    b"HFTO": "TwoHopOpportunity",
    b"HFTR": "TriangularOpportunity",
    b"HFEP": "ExecutionPlan",
    b"HFPR": "PlanRejected",
    b"HFER": "ExecutionResult",
    b"HFLM": "LatencyMetric",
    b"HFTM": "ThroughputMetric",
    b"HFPM": "PnlMetric",
    b"HFKS": "KillSwitch",
    b"HFLC": "Lifecycle",
    b"HFHM": "HealthMetric",
    b"HFCH": "ConnectionHealth",
}
END_STATES = {value: name for name, value in vars(EndState).items() if not name.startswith("_")}


def common(data: bytes) -> dict[str, object]:
    """What every record has, whichever it is."""
    name = RECORDS.get(data[4:8])
    if name is None:
        return {"record": "unknown"}
    record = getattr(import_module(f"hft.{name}"), name).GetRootAs(data)
    return {
        "record": name,
        "trace_id": bytes(record.TraceId().Bytes()).hex(),
        "sequence": str(record.Sequence()),
        **(result(record) if name == "ExecutionResult" else {}),
    }


def result(record: object) -> dict[str, object]:
    """What became of a trade. Money is in lamports."""
    return {
        "plan_id": bytes(record.PlanId().Bytes()).hex(),
        "end_state": END_STATES.get(record.EndState(), str(record.EndState())),
        "expected_profit_lamports": str(record.ExpectedProfitLamports()),
        "actual_profit_lamports": str(record.ActualProfitLamports()),
        "tip_lamports": str(record.TipLamports()),
        "signature": bytes(record.Signature().Bytes()).hex(),
    }


async def main() -> None:
    """Prints messages from the oldest on; with --durable the server remembers where it stopped."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("stream")
    parser.add_argument("--count", type=int, default=0, help="end after so many; 0: never")
    parser.add_argument("--durable")
    chosen = parser.parse_args()

    client = await nats.connect(chosen.url, name="example-consumer")
    subscription = await client.jetstream().pull_subscribe(
        "",
        durable=chosen.durable,
        stream=chosen.stream,
        config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.EXPLICIT),
    )
    shown = 0
    while not chosen.count or shown < chosen.count:
        left = chosen.count - shown if chosen.count else 100
        try:
            messages = await subscription.fetch(min(left, 100), timeout=1)
        except NothingCame:
            continue
        for message in messages:
            line = {
                "position": message.metadata.sequence.stream,
                "subject": message.subject,
                "id": (message.headers or {}).get("Nats-Msg-Id", ""),
                **common(message.data),
                "sha256": hashlib.sha256(message.data).hexdigest(),
            }
            print(json.dumps(line), flush=True)
            await message.ack()
            shown += 1
    await client.close()


asyncio.run(main())
