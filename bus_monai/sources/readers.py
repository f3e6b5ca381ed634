"""Read files in processes of their own, under limits of memory and time: what ends one ends no job.

Decoders are libraries in C, and files come from anywhere. A process that opens them sends gray frames through a pipe,
and is replaced when it dies; :mod:`bus_monai.sources.reading_process` is its side.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, LifoQueue
from threading import Lock
from typing import IO, Any

import numpy as np

from bus_monai.errors import UserError
from bus_monai.geometry.box import Box
from bus_monai.io.budget import ALARMS, Budget
from bus_monai.io.gray import unpacked_grays
from bus_monai.io.image import SourceImage
from bus_monai.io.opened import OpenedSource

MAX_TRIES = 3
"""Processes that may die of a file before it counts as broken."""
MAX_PROCESSES = 3
"""As many as files are segmented at once."""
PIPE_BYTES = 1 << 20
"""That a process may have sent and nobody taken yet, the most that Linux gives without asking."""
PATIENCE_S = 0.3
"""Seconds that a file waits for a process that reads another one, before one more is started."""


class UnreadableError(UserError):
    """A file cannot be read; the sentence holds nothing that identifies a patient."""


class NoReaderError(UserError):
    """No process can be started that reads files, which no file is to blame for."""


class Readers:
    """A pool of processes that read files, for threads that may use it at once; pickled it is a new one.

    Raises:
        UserError: a variable of the environment that sets a limit is no number.

    Example:
        >>> with Readers() as readers, open_source("breast.dcm") as source:  # doctest: +SKIP
        ...     with readers.open(source) as reading:
        ...         print(reading.modality, [image.pixels.shape for image in reading.images()])
        US [(600, 800)]
    """

    def __init__(self) -> None:
        self.budget = Budget.current()
        self._idle: LifoQueue[_Process] = LifoQueue()
        self._turn = Lock()
        self._all: set[_Process] = set()
        self.close = weakref.finalize(self, _kill_all, self._all)
        """Ends all processes."""

    def __reduce__(self) -> tuple[type[Readers], tuple[()]]:
        return Readers, ()

    def __enter__(self) -> Readers:
        # ready a moment later, maybe before there is anything to read
        self.give(self.take())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def open(self, source: OpenedSource) -> Iterator[Reading]:
        """Open a file in a process that is free, or in a new one.

        Raises:
            UnreadableError: it cannot be read, takes too long or too much memory, or ended :data:`MAX_TRIES` processes.
            NoReaderError: no process can be started.
        """
        reading = Reading(source, self)
        try:
            reading.open()
            yield reading
        finally:
            reading.close()

    def take(self) -> _Process:
        """Wait for a process that is free, or start one where there are few.

        Raises:
            NoReaderError: it cannot be started.
        """
        while True:
            process = self._next() or self._one_more()
            if process is not None:
                return process

    def give(self, process: _Process) -> None:
        """Let others have a process, unless it has ended or is amid a file."""
        if process.is_free:
            self._idle.put(process)
            return
        process.kill()
        with self._turn:
            self._all.discard(process)

    def _next(self) -> _Process | None:
        try:
            return self._idle.get(timeout=PATIENCE_S) if self._all else None
        except Empty:
            return None

    def _one_more(self) -> _Process | None:
        with self._turn:
            if len(self._all) == MAX_PROCESSES:
                return None
            process = _Process()
            self._all.add(process)
            return process


def _kill_all(processes: set[_Process]) -> None:
    for process in list(processes):
        process.kill()
    processes.clear()


class Reading:
    """A file that a process of :class:`Readers` has open.

    Args:
        source: the file, as opened here.
        readers: the pool.
    """

    pixels: int
    """Per frame, as declared; 0 where the file does not say."""
    modality: str
    """Of a DICOM file, else empty."""

    def __init__(self, source: OpenedSource, readers: Readers) -> None:
        self._path, self._readers = source.path, readers
        self._request = {"path": str(source.path), "identity": source.identity}
        self._deaths = 0
        self._process: _Process | None = None

    def open(self) -> None:
        """Open the file, in a process that is free.

        Raises:
            UnreadableError: as :meth:`Readers.open`.
            NoReaderError: so too.
        """
        head = None
        while head is None:
            process = self._process = self._process or self._readers.take()
            process.wait()
            with self._in_time():
                head = process.ask(self._request)
        self.pixels, self.modality, self._failure = head["pixels"], head["modality"], head["failure"]
        self._follows = head["follows"]

    def check(self) -> None:
        """Check that the header of a DICOM file could be read, before it is read anywhere else.

        Raises:
            UnreadableError: it could not.
        """
        if self._failure is not None:
            raise _unreadable(self._failure)

    def images(self) -> Generator[SourceImage, None, None]:
        """Yield the frames, one in memory at a time; again from the first at each call.

        Of a file that holds one image the process is free for the next file as soon as it has sent it.

        Raises:
            UnreadableError: as :meth:`Readers.open`; the frames before the broken one are yielded.
            NoReaderError: so too.
        """
        done, is_whole, alone = 0, False, None
        is_open = self._process is not None
        while not is_whole:
            if not is_open:
                self.open()
            is_open = False
            assert self._process is not None
            with self._in_time():
                for image in self._process.images(None if self._follows else done):
                    done += 1
                    if image.frames == 1:
                        alone = image
                        continue
                    yield image
                is_whole = True
        if alone is not None:
            self.close()
            yield alone

    def close(self) -> None:
        """Let the process go."""
        if self._process is not None:
            self._readers.give(self._process)
            self._process = None

    def kill(self) -> None:
        """End the process that has the file open."""
        if self._process is not None:
            self._process.kill()

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        """End the process in the block when the time is over, and replace it where it has died.

        Raises:
            UnreadableError: the time is over, or it was the last process that may die.
        """
        alarm = ALARMS.set(self.kill, self._readers.budget.file_seconds)
        try:
            yield
            if not ALARMS.is_set(alarm):
                raise self._too_slow()
        except EOFError:
            if not ALARMS.is_set(alarm):
                raise self._too_slow() from None
            self._deaths += 1
            if self._deaths == MAX_TRIES:
                raise UnreadableError(
                    f"'{self._path}' ended the process that read it ({MAX_TRIES} times): remove it.", path=self._path
                ) from None
            self.close()
        finally:
            ALARMS.stop(alarm)

    def _too_slow(self) -> UnreadableError:
        late = self._readers.budget.too_slow(self._path)
        return UnreadableError(*late.args, path=late.path, key=late.key)


def widen(pipe: IO[bytes]) -> None:
    """Let a picture of 8 bits lie in a pipe before anybody takes it, where the system can."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)


_BOOT = "import sys; sys.path[:] = sys.argv[1:]; from bus_monai.sources.reading_process import serve; serve()"


class _Process:
    """A process that reads one file at a time.

    Raises:
        NoReaderError: it cannot be started.
    """

    def __init__(self) -> None:
        # it computes so little that threads of NumPy's would only take memory
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        try:
            # in a session of its own no Ctrl-C reaches it: what was begun is finished
            self._popen = subprocess.Popen(
                [sys.executable, "-c", _BOOT, *sys.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise _no_reader(error.strerror or str(error)) from error
        assert self._popen.stdin is not None
        assert self._popen.stdout is not None
        self._requests: IO[bytes] = self._popen.stdin
        self._answers: Any = self._popen.stdout
        widen(self._answers)
        self._is_ready = False
        self._is_amid_frames = False

    @property
    def is_free(self) -> bool:
        """Whether it waits for a file."""
        return not self._is_amid_frames and self._popen.poll() is None

    def kill(self) -> None:
        """End it at once."""
        self._popen.kill()
        self._popen.wait()

    def wait(self) -> None:
        """Wait until it is ready, once.

        Raises:
            NoReaderError: it ended before.
        """
        if not self._is_ready and not self._answers.readline():
            raise _no_reader(f"it ended with {self._popen.wait()}")
        self._is_ready = True

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises:
            UnreadableError: it says so.
            EOFError: it has died.
        """
        try:
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()
        except OSError as error:
            raise EOFError from error
        return self._answer()

    def images(self, first: int | None) -> Iterator[SourceImage]:
        """Yield the frames of the file that is open from the first on, see :meth:`ask`; ``None`` where they follow."""
        self._is_amid_frames = True
        answer = self._answer() if first is None else self.ask({"first": first})
        while "shape" in answer:
            sent = np.empty(answer["shape"], answer["kind"])
            if self._answers.readinto(sent.data.cast("B")) < sent.nbytes:
                raise EOFError
            spacing = answer["spacing"]
            yield SourceImage(
                unpacked_grays(sent),
                spacing and (spacing[0], spacing[1]),
                answer["frame"],
                answer["frames"],
                tuple((Box(*box), tuple(spacing)) for box, spacing in answer["regions"]),
                answer["aspect"],
                tuple(answer["notes"]),
                tuple(Box(*box) for box in answer["images"]),
                sent if sent.dtype == np.uint8 else None,
            )
            answer = self._answer()
        self._is_amid_frames = False

    def _answer(self) -> dict[str, Any]:
        line = self._answers.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            self._is_amid_frames = False
            raise _unreadable(answer)
        if answer.get("follows"):
            self._is_amid_frames = True
        return answer


def _unreadable(answer: Mapping[str, Any]) -> UnreadableError:
    return UnreadableError(answer["error"], path=answer["path"], key=answer["key"])


def _no_reader(why: str) -> NoReaderError:
    return NoReaderError(f"No process can be started that reads files ({why}): free memory, or end other processes.")
