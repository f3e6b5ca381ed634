"""Which tests one worker of pytest-xdist runs: those of a file, and of files that share what is dear to start."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

SHARED = {
    "tests/bundles/test_processes.py": "a process that has imported MONAI",
    "tests/bundles/test_rdau_gan_run.py": "a process that has imported MONAI",
    "tests/label/test_infer_tasks.py": "a process that has imported MONAI Label",
    "tests/label/test_main.py": "a process that has imported MONAI Label",
    "tests/label/test_page_routes.py": "a process that has imported MONAI Label",
    "tests/label/test_page_state.py": "the page in a browser, and its server",
    "tests/label/test_page_tools.py": "the page in a browser, and its server",
    "tests/label/test_serve.py": "the label server",
    "tests/label/test_store.py": "a process that has imported MONAI Label",
    "tests/label/test_store_routes.py": "the label server",
    "tests/label/test_strategies.py": "a process that has imported MONAI Label",
    "tests/label/test_task_routes.py": "the label server",
}


class FilesTogether(LoadScopeScheduling):
    """Hand a worker that is free the next file, and what shares something with it."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return SHARED.get(file, file)
