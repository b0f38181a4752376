"""Who may talk to somebody else's model, and how much they may say; `test_others.py` has what it answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from tests.simulator.gate.squares import Copies, picture
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from presage.errors import UserError
from presage.serving import dreams
from presage.serving.dreams import serve_dreams
from presage.serving.wire import pack, unpack


@contextmanager
def serving() -> Iterator[str]:
    """The address of a running server."""
    with serve_dreams(Copies, port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join(10)


def test_web_pages_are_not_let_in() -> None:
    with serving() as address, pytest.raises(InvalidStatus, match="403"):
        connect(address, origin="http://evil.example")


def test_a_message_over_the_limit_ends_its_connection_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dreams, "MAX_BYTES", 2**12)
    start = {"frames": {"front": picture(np.zeros(2))[None]}, "instruction": "move"}
    with serving() as address, connect(address) as bystander, connect(address) as connection:
        connection.send(bytes(2**12 + 1))
        with pytest.raises(ConnectionClosed, match="1009"):
            connection.recv(60)
        bystander.send(pack(start))
        assert unpack(bystander.recv(60)) == {}


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.0.7", "robot.local"])
def test_other_machines_are_not_let_in(host: str) -> None:
    with pytest.raises(UserError, match="lets other machines in"):
        serve_dreams(Copies, host)
