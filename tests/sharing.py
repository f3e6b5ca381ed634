"""Which files of tests share what is dear to start, and what that is; and which of the others take longest."""

from __future__ import annotations

SHARED = {
    "tests/bundles/test_processes.py": "a process that has imported MONAI",
    "tests/bundles/test_rdau_gan_run.py": "a process that has imported MONAI",
    "tests/label/test_infer_tasks.py": "a process that has imported MONAI Label",
    "tests/label/test_main.py": "a process that has imported MONAI Label",
    "tests/label/test_page_routes.py": "a process that has imported MONAI Label",
    "tests/label/test_page_state.py": "the page in a browser, and its server",
    "tests/label/test_page_tools.py": "the page in a browser, and its server",
    "tests/label/test_page_versions.py": "the page in a browser, and its server",
    "tests/label/test_serve.py": "the label server",
    "tests/label/test_store.py": "a process that has imported MONAI Label",
    "tests/label/test_store_routes.py": "the label server",
    "tests/label/test_strategies.py": "a process that has imported MONAI Label",
    "tests/label/test_task_routes.py": "the label server",
}

LONG = (
    "tests/inference/executors/test_ray.py",
    "tests/pacs/test_serve.py",
    "tests/data/readers/test_ultrasound.py",
    "tests/networks/test_every_architecture.py",
    "tests/bundles/test_every_bundle.py",
    "tests/docker/test_install.py",
)
"""Files of a minute or more, begun early, so that no worker ends long after the others."""
