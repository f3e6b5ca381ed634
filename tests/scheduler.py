"""Which tests one worker of pytest-xdist runs: those of a file, and of files that share what is dear to start."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

from tests.sharing import SHARED


class FilesTogether(LoadScopeScheduling):
    """Hand a worker that is free the next file, and what shares something with it."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return SHARED.get(file, file)
