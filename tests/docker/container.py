"""What a container of docker/compose.yaml would run, run here: its command, its health check, its folder."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.free_port import free_port
from tests.waiting import PATIENCE_S, wait_until

DOCKER = Path(__file__).parents[2] / "docker"
STATE, INSTALLED, CERTIFICATES = "/var/lib/busmonai", "/opt/bus_monai", "/certificates"


def compose() -> dict[str, Any]:
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


class Container:
    """A service of compose.yaml whose image is ours, from an installation in a folder, on a port that is free.

    Args:
        name: of the service.
        venv: that docker/install.sh made.
        home: of its user.
        more: replaced in command and health check.
    """

    def __init__(self, name: str, venv: Path, home: Path, **more: str) -> None:
        self.service, self.home, self.port = compose()["services"][name], home, free_port()
        self.venv = venv
        port, *others = (word for word in self.service["command"] if word.isdecimal() and len(word) > 3)
        ports = {port: str(self.port)} | {other: str(free_port()) for other in others}
        self._replaced = {STATE: str(home), INSTALLED: str(venv), "0.0.0.0": "127.0.0.1", **ports, **more}
        self.process: subprocess.Popen[bytes] | None = None

    def words(self, words: list[str]) -> list[str]:
        for old, new in self._replaced.items():
            words = [word.replace(old, new) for word in words]
        return words

    @property
    def environment(self) -> dict[str, str]:
        # nothing of the environment that the tests run in, but what makes torch frugal
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "OMP_NUM_THREADS")}
        given: dict[str, str] = self.service.get("environment", {})
        # a variable of docker/.env has its own name for a value
        values = self.words([re.sub(r"\$\{(\w+):.*", r"\1", value) for value in given.values()])
        return {**kept, "HOME": str(self.home), **dict(zip(given, values, strict=True))}

    def __enter__(self) -> Container:
        self.home.mkdir(exist_ok=True)
        command = [str(self.venv / "docker" / "entrypoint.sh"), *self.words(self.service["command"])]
        log = (self.home / "log").open("wb")
        self.process = subprocess.Popen(command, env=self.environment, cwd=self.home, stdout=log, stderr=log)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def is_healthy(self) -> bool:
        kind, *command = self.service["healthcheck"]["test"]
        assert kind == "CMD"
        done = subprocess.run(self.words(command), env=self.environment, capture_output=True, timeout=PATIENCE_S)
        return done.returncode == 0

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def wait_until_healthy(self) -> None:
        def is_healthy() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, (self.home / "log").read_text()
            # a probe is a process of its own, which takes as long as the server to start
            return self.listens() and self.is_healthy()

        wait_until(is_healthy, (self.home / "log").read_text)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
