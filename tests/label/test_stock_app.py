"""MONAI Label's own app for bundles runs ours as they are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from bus_monai.bundle.models import find_model
from bus_monai.bundle.registry import find_bundle
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.inference.predictor import Predictor
from bus_monai.io.nifti import stored_order
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.networks.weights import read_weights
from bus_monai.sources.read import read_source
from tests.label.conftest import Server

MODELS = ("lite_unet", "rdau_gan")
IMAGES = ("phantom.png", "volume.nii.gz")
SIZE = (160, 200)
"""Rows and columns: what is transposed has another size."""
AFFINE = np.array([[0.2, 0, 0, 3], [0, -0.1, 0, 4], [0, 0, 1, 5], [0, 0, 0, 1]])
UNUSED = {"shapely/geometry.py": "Point = Polygon = None", "torchvision/utils.py": "make_grid = save_image = None"}
"""What the app imports and does not call for images such as these."""
RUN = "import bus_monai.label.compatibility, monailabel.main; monailabel.main.Main().run()"


@pytest.fixture(scope="module")
def app(label_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the app with copies of bundles, whose weights lie where a training leaves them."""
    folder = tmp_path_factory.mktemp("stock") / "monaibundle"
    shutil.copytree(label_python.parent.parent / "monailabel" / "sample-apps" / "monaibundle", folder)
    shipped = read_weights(find_bundle("lite_unet") / "models" / "model.safetensors")
    for name, state in zip(MODELS, (shipped, _untrained()), strict=True):
        shutil.copytree(find_bundle(name), folder / "model" / name)
        weights = folder / "model" / name / "models"
        weights.mkdir(exist_ok=True)
        torch.save(state, weights / "model.pt")
        (weights / "checkpoint.pt").touch()
    return folder


def _untrained() -> dict[str, torch.Tensor]:
    """Return random weights of ``rdau_gan`` that find a tenth of a phantom."""
    torch.manual_seed(0)
    network = make_segmenter("rdau").eval()
    state = network.state_dict()
    with torch.no_grad():
        logits = network(torch.from_numpy(make_phantom(0, SIZE).image[None, None] / np.float32(255)))
    state["network.head.bias"] -= logits.quantile(0.9)
    return state


@pytest.fixture(scope="module")
def server(app: Path, label_python: Path) -> Iterator[Server]:
    studies = app.parent / "studies"
    studies.mkdir()
    # both have a lesion that the shipped model finds
    first, second = (make_phantom(number, SIZE).image for number in (8, 1))
    Image.fromarray(first).save(studies / IMAGES[0])
    nib.save(nib.Nifti1Image(second.T[..., None], AFFINE), studies / IMAGES[1])
    server = Server(studies, Path())
    server.is_ours = False
    server.command = [str(label_python), "-c", RUN, "start_server", "--app", str(app), "--studies", str(studies)]
    server.command += ["--host", "127.0.0.1", "--port", str(server.port), "--verbose", "ERROR", "--log_level", "error"]
    # any source but the default, which asks for the list of MONAI's model zoo
    for key, value in {"models": ",".join(MODELS), "zoo_source": "local", "skip_trainers": "true"}.items():
        server.command += ["--conf", key, value]
    for name, content in UNUSED.items():
        if find_spec(Path(name).parts[0]) is None:
            (app.parent / "unused" / name).parent.mkdir(parents=True)
            (app.parent / "unused" / name).write_text(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(app.parent / "unused"), prepend=os.pathsep)
        server.start()
    yield server
    server.kill()


def test_it_offers_them(server: Server) -> None:
    models = server.client().info()["models"]
    assert {
        name: (model["type"], model["labels"], model["dimension"]) for name, model in models.items()
    } == dict.fromkeys(MODELS, ("segmentation", {"lesion": 1}, 2))


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("name", [MODELS[0], pytest.param(MODELS[1], marks=pytest.mark.slow)])
def test_its_masks_are_ours(name: str, image: str, server: Server, app: Path, tmp_path: Path) -> None:
    from monailabel.client.client import MONAILabelClient

    # into another folder than the server's, which removes what it has sent
    client = MONAILabelClient(server.url, str(tmp_path))
    file, params = client.infer(name, image.partition(".")[0], {})
    predictor = Predictor(find_model(app / "model" / name, trust=True), backend="torch", precision="fp32")
    expected = predictor.predict(read_source(Path(server.studies) / image).pixels) >= 0.5
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(_mask(Path(file)), expected)
    if image.endswith(".nii.gz"):
        np.testing.assert_allclose(nib.load(file).affine, AFFINE, atol=1e-6)
    assert params["label_names"] == {"lesion": 1}


def _mask(path: Path) -> NDArray[np.uint8]:
    """Return the values of a file, as a viewer shows it."""
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    image = nib.load(path)
    return stored_order(image.header).to_picture(np.asarray(image.dataobj)[..., 0])
