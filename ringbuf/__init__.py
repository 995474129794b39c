"""Shared-memory structures with one writer each: Ring, Table, Counters and Control (the kill latch)."""

from ringbuf import _platform as _platform
from ringbuf.control import ROUSE, Control, KillInfo, ServiceInfo
from ringbuf.counters import Counters, Histogram
from ringbuf.errors import (
    Closed,
    InvalidArgument,
    PublicationTaken,
    RecordTooLong,
    RingError,
    SegmentExists,
    SegmentFull,
    SegmentMismatch,
    SegmentMissing,
    SubscriptionTaken,
    TableFull,
    ViewExpired,
)
from ringbuf.idle import Backoff, BusySpin, Idle, Park, Yield, default_idle, make_idle
from ringbuf.ring import Publication, Ring, Subscription
from ringbuf.segment import Owner, process_start, segment_name, segment_names, sweep
from ringbuf.table import Table

__all__ = [
    "ROUSE",
    "Backoff",
    "BusySpin",
    "Closed",
    "Control",
    "Counters",
    "Histogram",
    "Idle",
    "InvalidArgument",
    "KillInfo",
    "Owner",
    "Park",
    "Publication",
    "PublicationTaken",
    "RecordTooLong",
    "Ring",
    "RingError",
    "SegmentExists",
    "SegmentFull",
    "SegmentMismatch",
    "SegmentMissing",
    "ServiceInfo",
    "Subscription",
    "SubscriptionTaken",
    "Table",
    "TableFull",
    "ViewExpired",
    "Yield",
    "default_idle",
    "make_idle",
    "process_start",
    "segment_name",
    "segment_names",
    "sweep",
]
