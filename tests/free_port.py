"""Ports for servers of the tests."""

from __future__ import annotations

import random
import socket

PORTS = range(20_000, 32_000)  # below 32768, from which on Linux gives ports to whoever connects


def free_port() -> int:
    """Return a port that nobody listens on, and that no client is given before a server takes it."""
    chance = random.SystemRandom()  # the same seed in two processes would give them the same port
    while True:
        port = chance.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
