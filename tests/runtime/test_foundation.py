"""What a run stands on, before any service comes."""

import socket
from contextlib import closing

from hft.runtime.foundation import _not_there


def test_row_32_a_start_tells_where_nobody_listens_for_nats_and_goes_on() -> None:
    with closing(socket.socket()) as there, closing(socket.socket()) as gone:
        for one in (there, gone):
            one.bind(("127.0.0.1", 0))
        there.listen()
        listening, silent = (one.getsockname()[1] for one in (there, gone))
        told = list(_not_there(f"nats://127.0.0.1:{listening}, nats://127.0.0.1:{silent}"))
    assert told == [f"at nats://127.0.0.1:{silent}: Connection refused"]
