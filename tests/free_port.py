"""Ports for servers of the tests."""

from __future__ import annotations

import random
import socket
import sys

PORTS = range(20_000, 32_000)  # below 32768, from which on Linux gives ports to whoever connects

_held: list[socket.socket] = []


def free_port() -> int:
    """Return a port that nobody has, and that no client and no other test is given before a server takes it.

    On Linux it stays bound by a socket that does not listen, until these tests end: who takes ports that others had
    (``SO_REUSEADDR``), as servers do, listens there, again and again.
    """
    chance = random.SystemRandom()  # the same seed in two processes would give them the same port
    while True:
        port = chance.choice(PORTS)
        held = socket.socket()
        try:
            held.bind(("127.0.0.1", port))
        except OSError:
            held.close()
            continue
        if sys.platform == "linux":
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not before: another may hold it so
            _held.append(held)
        else:
            held.close()
        return port
