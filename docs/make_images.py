"""Make the pictures of README and docs again, from what ``make demo`` left.

    make demo && .venv/bin/python docs/make_images.py [demo]

Needs Chromium for the pages. ``docs/images/scale.png`` comes from ``benchmarks/scale.py`` and
``learning_loop.png`` from ``benchmarks/learning_loop.py``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from bus_monai.data.phantoms import make_phantom
from bus_monai.inference.models import parse_models
from bus_monai.inference.predictor import Predictor
from bus_monai.inference.segment_run import SegmentSettings, segment_inputs

IMAGES = Path(__file__).parent / "images"
PHANTOM = 4
"""Seed of the phantom that is segmented."""


def save_jpeg(source: Path, name: str, width: int) -> None:
    with Image.open(source) as image:
        height = round(image.height * width / image.width)
        image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS).save(IMAGES / name, quality=85)


def save_page(page: Path, name: str, height: int) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("No browser: install chromium.")
    with tempfile.TemporaryDirectory() as folder:
        shot = Path(folder) / "page.png"
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size=1100,{height}"]
        subprocess.run([browser, *options, f"--screenshot={shot}", page.resolve().as_uri()], check=True, timeout=120)
        save_jpeg(shot, name, 1100)


def main() -> None:
    demo = Path(sys.argv[1] if len(sys.argv) > 1 else "demo")
    save_jpeg(demo / "examples.png", "demo_examples.jpg", 1000)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        evaluate = [sys.executable, "-m", "bus_monai", "evaluate", f"rdau_gan:{demo / 'models' / 'model.pt'}"]
        subprocess.run([*evaluate, "--out", str(work / "results")], check=True)
        save_page(next(work.glob("results/**/report.html")), "evaluation_page.jpg", 1500)
        Image.fromarray(make_phantom(PHANTOM, (384, 512)).image).save(work / "phantom.png")
        predictor = Predictor(parse_models(["lite_unet"])[0])
        segment_inputs([work / "phantom.png"], work / "out", predictor, SegmentSettings(("overlay",)))
        save_jpeg(work / "out" / "phantom_overlay.png", "segment_overlay.jpg", 512)


if __name__ == "__main__":
    main()
