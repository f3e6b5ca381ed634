"""Make the pictures of README and docs, and what the notebooks show, again, from what ``make demo`` left.

    make demo && .venv/bin/python docs/make_images.py [demo]

Needs Chromium for the pages, and BUS-BRA below ``BUS_MONAI_SHARED`` for the one image of a patient.
``learning_loop.png`` comes from ``benchmarks/learning_loop.py``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import numpy as np
import requests
from nbclient import NotebookClient
from PIL import Image

from bus_monai import segment
from bus_monai.bundle.models import parse_models
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.inference.batch import segment_inputs
from bus_monai.inference.overlay import draw_overlay
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_file import SegmentSettings

sys.path.append(str(Path(__file__).resolve().parents[1]))
from tests.label.page import open_chromium

IMAGES = Path(__file__).parent / "images"
NOTEBOOKS = Path(__file__).parent / "notebooks"
PHANTOM = 4
"""Seed of the phantom that is segmented."""
TISSUE = "data/bus_bra/Images/bus_1033-r.png"
"""The one image of a patient in the pages: ``images/bus_bra.LICENSE.txt`` allows it, and asks for its citation."""


def save_jpeg(source: Path, name: str, width: int) -> None:
    with Image.open(source) as image:
        height = round(image.height * width / image.width)
        image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(IMAGES / name, quality=85)


def save_tissue() -> None:
    """Put an image beside the same with the outline of the model that ships, both at twice the size."""
    path = Path(os.environ.get("BUS_MONAI_SHARED", "../shared")) / TISSUE
    result = segment(path)
    gray, labels = (
        np.asarray(Image.fromarray(each).resize((2 * each.shape[1], 2 * each.shape[0]), how))
        for each, how in ((result.pixels, Image.Resampling.BICUBIC), (result.labels, Image.Resampling.NEAREST))
    )
    outlined = draw_overlay(gray, labels)
    plain = np.full_like(outlined, 255)
    plain[: len(gray), : gray.shape[1]] = draw_overlay(gray, np.zeros_like(labels))[: len(gray), : gray.shape[1]]
    gap = np.full((len(outlined), 12, 3), 255, np.uint8)
    Image.fromarray(np.hstack([plain, gap, outlined])).save(IMAGES / "bus_bra.jpg", quality=85)


def run_notebook(path: Path, folder: Path) -> None:
    """Run a notebook in a folder, and keep what it shows but for logs and progress bars."""
    notebook = nbformat.read(path, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=600, coalesce_streams=True, resources=place).execute()
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    nbformat.write(notebook, path)


def chromium() -> str:
    """Return the path of a browser."""
    return shutil.which("chromium") or shutil.which("google-chrome") or sys.exit("No browser: install chromium.")


def save_page(url: str, name: str, height: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--virtual-time-budget=20000"]
        options += [f"--window-size=1100,{height}", f"--screenshot={shot}"]
        subprocess.run([chromium(), *options, url], check=True, timeout=120)
        save_jpeg(shot, name, 1100)


def save_label_page(work: Path) -> None:
    """Label three phantoms with what the model finds, and take a picture of the page that shows the first."""
    studies = work / "studies"
    studies.mkdir()
    for number in range(3):
        phantom = make_phantom(PHANTOM + number, (384, 512)).image
        Image.fromarray(phantom).save(studies / f"phantom_{number}.png")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "bus_monai", "label", "--studies", str(studies), "--bundles", "lite_unet"]
    server = subprocess.Popen([*command, "--port", str(port), "--no-token"])
    url = f"http://127.0.0.1:{port}"
    try:
        while True:
            try:
                requests.get(f"{url}/info/", timeout=60).raise_for_status()
                break
            except requests.ConnectionError:
                time.sleep(1)
        for path in sorted(studies.glob("*.png")):
            found = requests.post(f"{url}/infer/lite_unet?image={path.stem}&output=image", timeout=60)
            found.raise_for_status()
            label = {"label": ("label.png", found.content)}
            saved = requests.put(f"{url}/datastore/label?image={path.stem}&tag=final", files=label, timeout=60)
            saved.raise_for_status()
        with open_chromium(chromium()) as open_page:
            tab = open_page()
            tab.goto(f"{url}/bus/")
            tab.get_by_role("textbox", name="Your name").fill("Ann")
            tab.keyboard.press("Enter")
            tab.get_by_text("px²").or_(tab.get_by_text("mm²")).first.wait_for()
            tab.screenshot(path=work / "label_page.png")
        save_jpeg(work / "label_page.png", "label_page.jpg", 1100)
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    save_tissue()
    save_jpeg(demo / "examples.png", "demo_examples.jpg", 1000)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        evaluate = [sys.executable, "-m", "bus_monai", "evaluate", f"rdau_gan:{demo / 'models' / 'model.pt'}"]
        subprocess.run([*evaluate, "--out", str(work / "results")], check=True)
        save_page((work / "results" / "report.html").as_uri(), "evaluation_page.jpg", 1500)
        Image.fromarray(make_phantom(PHANTOM, (384, 512)).image).save(work / "phantom.png")
        predictor = Predictor(parse_models(["lite_unet"])[0])
        segment_inputs([work / "phantom.png"], work / "out", predictor, SegmentSettings(("overlay",)))
        save_jpeg(work / "out" / "phantom_overlay.png", "segment_overlay.jpg", 512)
        save_label_page(work)
        for path in NOTEBOOKS.glob("*.ipynb"):
            run_notebook(path, work)


if __name__ == "__main__":
    main()
