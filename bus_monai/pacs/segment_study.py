"""A study of a PACS: fetched, segmented as files are, and its results put back."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from tqdm import tqdm

from bus_monai.errors import UserError, writing
from bus_monai.inference.batch import DEFAULT_EXECUTOR, segment_inputs
from bus_monai.inference.executors.local import Executor
from bus_monai.inference.manifest import Manifest
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentSettings
from bus_monai.io.atomic import check_writable
from bus_monai.io.opened import quiet_decoders
from bus_monai.pacs.dicomweb import DicomWeb, InstanceError

FETCHED_FOLDER = "fetched"
"""Folder of the instances as they came, below that of the results."""
STORED_FILE = "stored.txt"
"""One line per result that the service has: SHA-256, name and URL."""
logger = logging.getLogger("bus_monai")


def segment_study(
    service: DicomWeb,
    study: str,
    out: Path,
    predictor: Predictor,
    settings: SegmentSettings,
    *,
    series: str | None = None,
    restart: bool = False,
    executor: Executor = DEFAULT_EXECUTOR,
) -> Counter[str]:
    """Fetch a study, segment it and store its DICOM results; each of the three goes on where an earlier run ended.

    Args:
        service: the PACS.
        study: its UID.
        out: folder of the results, and of what was fetched.
        predictor: the model.
        settings: what to write, and which modality.
        series: UID of the one series, or ``None`` for all.
        restart: forget the earlier run, remove its outputs, fetch and store anew.
        executor: where the files are segmented.

    Returns:
        As :func:`~bus_monai.inference.batch.segment_inputs`; also how many instances were not fetched
        (``lost``), how many results the service has (``stored``) and how many it refused (``refused``).

    Raises:
        UserError: the service cannot be reached or refuses, the study holds nothing to segment, or ``out`` cannot be
            written to.
    """
    instances = service.instances(study, settings.modality, series)
    if not instances:
        raise UserError(
            f"'{service.url}' has no instance of {settings.modality} in that study or series: check --study, --series "
            "and --modality."
        )
    check_writable(out)
    if restart:
        shutil.rmtree(out / FETCHED_FOLDER, ignore_errors=True)
        (out / STORED_FILE).unlink(missing_ok=True)
    check_writable(out / FETCHED_FOLDER)
    with quiet_decoders():
        lost = _fetch(service, study, instances, out)
        if lost == len(instances):
            raise UserError(f"'{service.url}' gives none of the {lost} instances: see the warnings above.")
        totals = segment_inputs([out / FETCHED_FOLDER], out, predictor, settings, restart=restart, executor=executor)
        totals["lost"] = lost
        return totals + _store(service, out)


def _fetch(service: DicomWeb, study: str, instances: Sequence[tuple[str, str]], out: Path) -> int:
    """Fetch what is not there yet; return how many cannot be."""
    lost = 0
    for of_series, instance in tqdm(instances, desc="fetching", unit="file"):
        # a name of our own: what comes from the network is no path
        path = out / FETCHED_FOLDER / (hashlib.sha256(instance.encode()).hexdigest()[:32] + ".dcm")
        if path.exists():
            continue
        try:
            service.fetch(study, of_series, instance, path)
        except InstanceError as error:
            logger.warning("%s cannot be fetched: %s", path.stem, error)
            lost += 1
    return lost


def _store(service: DicomWeb, out: Path) -> Counter[str]:
    with closing(Manifest(out)) as manifest:
        names = [name for entry in manifest.entries() for name in entry.outcome.outputs if name.endswith(".dcm")]
    counts: Counter[str] = Counter()
    known = out / STORED_FILE
    with writing(known):
        stored = set(known.read_text(encoding="utf-8").splitlines()) if known.exists() else set()
        with known.open("a", encoding="utf-8") as table:
            for name in tqdm(names, desc="storing", unit="object"):
                line = f"{hashlib.sha256((out / name).read_bytes()).hexdigest()}  {name}  {service.url}"
                if line not in stored:
                    try:
                        service.store(out / name)
                    except InstanceError as error:
                        logger.warning("'%s' is not stored: %s", out / name, error)
                        counts["refused"] += 1
                        continue
                    table.write(line + "\n")
                    table.flush()
                    os.fsync(table.fileno())
                counts["stored"] += 1
    return counts
