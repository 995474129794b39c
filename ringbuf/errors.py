"""What can go wrong, each with a code; messages name the value found and the one that would be right."""

from typing import ClassVar


class RingError(Exception):
    """Base of every error of this library."""

    code: ClassVar[str] = "ring"
    exit_code: ClassVar[int] = 70
    """What a process that cannot go on because of it should exit with (sysexits' numbers where they fit)."""


class InvalidArgument(RingError, ValueError):
    """A name, size or count outside its range."""

    code = "invalid_argument"
    exit_code = 64


class SegmentMissing(RingError):
    """No segment of this name exists."""

    code = "segment_missing"
    exit_code = 66


class SegmentExists(RingError):
    """A segment of this name exists already."""

    code = "segment_exists"
    exit_code = 73


class SegmentMismatch(RingError):
    """Magic, layout version, kind, schema hash, build id, size or boot differ; names both sides' values."""

    code = "segment_mismatch"
    exit_code = 76


class SegmentFull(RingError):
    """/dev/shm has no room for the segment; nothing was left behind."""

    code = "segment_full"
    exit_code = 71


class PublicationTaken(RingError):
    """A live process publishes (or writes) there already."""

    code = "publication_taken"
    exit_code = 75


class SubscriptionTaken(RingError):
    """A live process holds the subscription of this label, or no slot is free."""

    code = "subscription_taken"
    exit_code = 75


class RecordTooLong(RingError, ValueError):
    """A record is empty or longer than the ring's mtu or the entry's capacity."""

    code = "record_too_long"


class TableFull(RingError):
    """A table has no entry or no arena left for a new key."""

    code = "table_full"


class ViewExpired(RingError):
    """A handler kept a slice or an export of a record that the writer may now overwrite."""

    code = "view_expired"


class Closed(RingError, ValueError):
    """The object was closed."""

    code = "closed"
