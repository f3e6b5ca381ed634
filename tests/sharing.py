"""Which files of tests share what is dear to start, and what that is."""

from __future__ import annotations

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
