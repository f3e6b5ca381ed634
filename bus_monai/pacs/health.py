"""What a node tells of itself: ``/healthz``, ``/readyz`` and ``/metrics`` by HTTP, and its log as lines of JSON."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from bus_monai.errors import UserError
from bus_monai.pacs.address import is_loopback
from bus_monai.pacs.spool import IMAGE_FILE, STATES, Spool

REGISTRY = CollectorRegistry()
RECEIVED = Counter("busmonai_received", "Instances that are on the disk and acknowledged.", registry=REGISTRY)
REFUSED = Counter(
    "busmonai_refused", "Instances that were refused, by status of C-STORE.", ["status"], registry=REGISTRY
)
SEGMENTED = Counter(
    "busmonai_segmented",
    "Instances by what became of them: done, failed, not assessed, skipped.",
    ["state"],
    registry=REGISTRY,
)
SENT = Counter("busmonai_sent", "Instances whose results, if any, the destination has stored.", registry=REGISTRY)
UNSENT = Counter("busmonai_unsent", "Tries to send the results of an instance that failed.", registry=REGISTRY)
STAGE_SECONDS = Histogram(
    "busmonai_stage_seconds",
    "Seconds that an instance takes: waited for its turn, segmented and written, sent.",
    ["stage"],
    buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3600, 86400),
    registry=REGISTRY,
)
for _state in ("done", "failed", "not assessed", "skipped"):
    SEGMENTED.labels(_state)  # from the start, so that a rate is known of the first
logger = logging.getLogger("bus_monai")


class QueueCollector(Collector):
    """The length of each queue, the age of its oldest instance, and the size of the spool, at the time of asking."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield them; called by the registry."""
        length = GaugeMetricFamily("busmonai_queue", "Instances in each state of the spool.", labels=["state"])
        age = GaugeMetricFamily(
            "busmonai_oldest_seconds", "Age of the oldest instance of each state, 0 without one.", labels=["state"]
        )
        for state in STATES:
            names = self.spool.names(state)
            length.add_metric([state], len(names))
            now = oldest = time.time()
            with suppress(OSError, IndexError):  # it has gone on meanwhile, or there is none
                oldest = (self.spool.folder(state, names[0]) / IMAGE_FILE).stat().st_mtime
            age.add_metric([state], max(0.0, now - oldest))
        yield from (length, age)
        yield GaugeMetricFamily("busmonai_spool_bytes", "Size of the spool.", value=self.spool.used_bytes)
        yield GaugeMetricFamily("busmonai_spool_limit_bytes", "From which on it refuses.", value=self.spool.max_bytes)


class _Server(ThreadingHTTPServer):
    """As its base, but its start does not wait for a name server."""

    daemon_threads = True

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])


class HealthServer:
    """Answer ``GET`` of three paths, in threads of its own; nothing of them names a patient.

    Args:
        host: to listen on.
        port: to listen on.
        spool: whose queues are counted.
        dead: says what of the node has ended, empty where all runs: ``/healthz`` is then 200, else 503.
        unready: says why nothing can be received now, empty where it can: ``/readyz`` likewise.

    Raises:
        UserError: the address is used already, or is none of this machine.
    """

    def __init__(self, host: str, port: int, spool: Spool, dead: Callable[[], str], unready: Callable[[], str]) -> None:
        self._queues = QueueCollector(spool)
        pages: dict[str, Callable[[], str]] = {"/healthz": dead, "/readyz": lambda: dead() or unready()}

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/metrics":
                    self._answer(200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)
                elif path in pages:
                    reason = pages[path]()
                    self._answer(503 if reason else 200, f"{reason or 'ok'}\n".encode(), "text/plain; charset=utf-8")
                else:
                    self._answer(404, b"/healthz /readyz /metrics\n", "text/plain")

            def _answer(self, status: int, body: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                logger.debug(format, *arguments)

        try:
            self._server = _Server((host, port), Handler)
        except OSError as error:
            raise UserError(
                f"Cannot listen on {host}:{port} ({error.strerror or error}): give another --health-port, or 0.",
                key="--health-port",
            ) from error
        if not is_loopback(host):
            logger.warning("Health and metrics are open to the network (%s): they ask nobody who they are.", host)
        REGISTRY.register(self._queues)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="health", daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        REGISTRY.unregister(self._queues)
        self._server.shutdown()
        self._server.server_close()


class JsonLines(logging.Formatter):
    """A record of the log as one line of JSON: ``time`` (UTC), ``level``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if record.exc_info:
            told["traceback"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False)
