"""A lane: messages on their way from one link to one stream, in order, kept until the server has them.

A strict lane asks for an acknowledgement with each message. The others ask once a group and check that the
stream's sequence advanced by the whole group; a group that fell short is sent again, with an acknowledgement
each. The server stores an id once, so a repeat is harmless.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

GROUP = 32
"""Messages to one requested acknowledgement, on a lane that is not strict. Beyond 16 the gain is small."""

WINDOW = 2048
"""Messages of a lane in flight. JetStream silently drops what exceeds 10,000 in a stream's queue."""


class Message(NamedTuple):
    """One message. sequence: its position in the link, rising; taken_ns: monotonic time it left the ring."""

    sequence: int
    subject: str
    payload: bytes
    taken_ns: int


class Lane:
    """One link's way to one stream: messages in order, kept until the server has them.

    name: first part of every message id after the run's (`run:name:sequence`).
    strict: an acknowledgement for each message. held: nothing is sent until it is cleared.
    Pure. Counts since the start: `acknowledged`, `repeated` (sent again), `duplicates` (the server had them
    already), `refused` (answers that were errors), `conflated`.
    """

    def __init__(self, name: str, *, strict: bool, window: int = WINDOW, group: int = GROUP) -> None:
        if window < 1 or group < 1:
            raise ValueError(f"lane {name}: window {window} and group {group} must be at least 1")
        self.name = name
        self.strict = strict
        self.held = False
        self.epoch = 0
        self.acknowledged = 0
        self.repeated = 0
        self.duplicates = 0
        self.refused = 0
        self.conflated = 0
        self._window = window
        self._group = group
        self._waiting: deque[Message] = deque()
        self._flying: deque[tuple[Message, bool]] = deque()
        self._unasked = 0
        self._careful_until = -1
        self._position: int | None = None
        self._probing = False

    @property
    def waiting(self) -> int:
        """Messages not sent yet."""
        return len(self._waiting)

    @property
    def flying(self) -> int:
        """Messages sent and not acknowledged."""
        return len(self._flying)

    @property
    def backlog(self) -> int:
        """Messages the server is not known to have."""
        return len(self._waiting) + len(self._flying)

    def offer(self, message: Message) -> None:
        """Append a message; its sequence is above all earlier ones. The caller bounds the backlog."""
        self._waiting.append(message)

    def next(self) -> tuple[Message, bool] | None:
        """The message to send now, and whether to ask for its acknowledgement; None if none may go."""
        window = 1 if self._probing else self._window
        if self.held or not self._waiting or len(self._flying) >= window:
            return None
        message = self._waiting.popleft()
        self._unasked += 1
        ask = (
            self.strict
            or self._position is None
            or message.sequence <= self._careful_until
            or self._unasked >= self._group
            or not self._waiting
            or len(self._flying) + 1 >= window
        )
        if ask:
            self._unasked = 0
        self._flying.append((message, ask))
        return message, ask

    def acknowledge(self, epoch: int, sequence: int, position: int, *, duplicate: bool) -> Message | None:
        """The server stored `sequence` at `position` of its stream. Returns the message, or None.

        None: the answer is to an earlier epoch, before a rewind, or it shows a gap, and the lane rewinds.
        """
        if epoch != self.epoch:
            return None
        count = 0
        for message, asked in self._flying:
            count += 1
            if message.sequence == sequence:
                break
            if asked:
                # Its own answer should have come first: it was lost.
                self.rewind()
                return None
        else:
            return None
        short = count > 1 and (duplicate or self._position is None or position - self._position < count)
        if short:
            self.rewind()
            return None
        for _ in range(count):
            last = self._flying.popleft()[0]
        self._probing = False
        self._position = max(self._position or 0, position)
        self.acknowledged += count
        self.duplicates += duplicate
        return last

    def refuse(self, epoch: int) -> bool:
        """The server answered with an error: hold the lane, take back all that flies. False if stale."""
        if epoch != self.epoch:
            return False
        self.refused += 1
        self.held = True
        # One message at a time until one is taken: later ones must not get in before those refused.
        self._probing = True
        self.rewind()
        return True

    def rewind(self) -> int:
        """Take everything in flight back, to be sent again in order; returns how many."""
        count = len(self._flying)
        self.epoch += 1
        self._unasked = 0
        # Unknown again: a stream in memory starts anew with its server.
        self._position = None
        if count:
            self._careful_until = max(self._careful_until, self._flying[-1][0].sequence)
            self._waiting.extendleft(message for message, _ in reversed(self._flying))
            self._flying.clear()
            self.repeated += count
        return count

    def conflate(self) -> int:
        """Keep only the newest waiting message of each subject, in order; returns how many gave way."""
        newest = {message.subject: message for message in self._waiting}
        given = len(self._waiting) - len(newest)
        if given:
            self._waiting = deque(sorted(newest.values()))
            self.conflated += given
        return given
