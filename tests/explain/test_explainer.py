"""Sanity of the maps: they point at the lesion, lie where the network looked, and depend on what was learned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.losses.dice import DiceCELoss
from monai.networks.nets.basic_unet import BasicUNet
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor, nn

from bus_monai.bundle.models import TrainedModel, find_model
from bus_monai.bundle.registry import find_bundle
from bus_monai.bundle.run import bundle_parts
from bus_monai.data.phantoms.screen import ScreenLayout, draw_screen, images_of_layout
from bus_monai.data.phantoms.ultrasound import make_phantom
from bus_monai.explain.explainer import Explainer
from bus_monai.explain.explanation import ExplainItem, energy_inside
from bus_monai.explain.saliency import SegmentationCam, choose_layer, occlusion_map
from bus_monai.geometry.box import mask_of
from bus_monai.inference.predictor import Predictor
from bus_monai.networks.segmenters import make_segmenter
from bus_monai.networks.wrappers import Padded
from bus_monai.sources.read import read_source
from bus_monai.transforms.image_region import find_regions

SIZE = (64, 64)


def grad_cam(network: nn.Module, image: Tensor) -> Tensor:
    return SegmentationCam(network, choose_layer(network, SIZE))(image)


def grad_cam_pp(network: nn.Module, image: Tensor) -> Tensor:
    return SegmentationCam(network, choose_layer(network, SIZE))(image, plus_plus=True)


METHODS = (grad_cam, grad_cam_pp, occlusion_map)


def phantoms(seeds: range) -> tuple[Tensor, Tensor]:
    """Those with a lesion, as images and masks (N, 1, H, W)."""
    made = [phantom for phantom in (make_phantom(seed, SIZE) for seed in seeds) if phantom.masks]
    images = np.stack([phantom.image for phantom in made]).astype(np.float32) / 255
    masks = np.stack([np.any(phantom.masks, axis=0) for phantom in made])
    return torch.from_numpy(images)[:, None], torch.from_numpy(masks)[:, None].float()


@pytest.fixture(scope="module")
def unseen() -> tuple[Tensor, Tensor]:
    images, masks = phantoms(range(5000, 5016))
    return images[:4], masks[:4]


def small_unet(*, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return Padded(BasicUNet(2, 1, 1, features=(8, 8, 16, 16, 32, 8), norm="batch"), 16)


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    images, masks = phantoms(range(72))
    network, loss = small_unet(seed=7), DiceCELoss(sigmoid=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for step in range(120):
        chosen = torch.randint(len(images), (8,), generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        loss(network(images[chosen]), masks[chosen]).backward()
        optimizer.step()
    return network.eval()


def energy_over_chance(method: Callable[[nn.Module, Tensor], Tensor], network: nn.Module, unseen: tuple) -> float:
    """How many times more of the map lies inside the lesion than by chance, the mean over images."""
    ratios = []
    for image, mask in zip(*unseen, strict=True):
        lesion = mask[0].bool().numpy()
        energy = energy_inside(method(network, image[None]).numpy(), lesion)
        ratios.append((energy or 0) / lesion.mean())
    return float(np.mean(ratios))


def rank_correlation(
    method: Callable[[nn.Module, Tensor], Tensor], one: nn.Module, other: nn.Module, images: Tensor
) -> float:
    """Mean over images of the absolute rank correlation of two networks' maps; a constant map has none."""
    pairs = ((method(one, image[None]), method(other, image[None])) for image in images)
    return float(np.mean([abs(spearmanr(a.flatten(), b.flatten()).statistic) for a, b in pairs]))


def test_the_network_has_learned(trained: nn.Module, unseen: tuple[Tensor, Tensor]) -> None:
    with torch.no_grad():
        predicted = trained(unseen[0]) > 0
    truth = unseen[1].bool()
    assert float(2 * (predicted & truth).sum() / (predicted.sum() + truth.sum())) > 0.6


@pytest.mark.parametrize("method", METHODS)
def test_maps_point_at_the_lesion(
    method: Callable[[nn.Module, Tensor], Tensor], trained: nn.Module, unseen: tuple[Tensor, Tensor]
) -> None:
    """At least four times as much as by chance; 8 to 18 times when this was written."""
    assert energy_over_chance(method, trained, unseen) > 4


@pytest.mark.parametrize("method", METHODS)
def test_maps_change_with_the_weights(
    method: Callable[[nn.Module, Tensor], Tensor], trained: nn.Module, unseen: tuple[Tensor, Tensor]
) -> None:
    """Randomization of all weights, as Adebayo et al. (NeurIPS 2018, arXiv 1810.03292) test it.

    Rank correlation below 0.3 (0.08 for Grad-CAM when this was written), and the lesion is no longer found.
    """
    random = small_unet(seed=0).eval()
    assert rank_correlation(method, trained, random, unseen[0]) < 0.3
    assert energy_over_chance(method, random, unseen) < 2


def test_maps_change_when_the_last_layer_alone_is_random(trained: nn.Module, unseen: tuple[Tensor, Tensor]) -> None:
    other = copy.deepcopy(trained)
    torch.manual_seed(0)
    nn.init.normal_(other.network.final_conv.weight)
    assert rank_correlation(grad_cam, trained, other, unseen[0]) < 0.7


def show(layout: ScreenLayout | None, file: Path) -> None:
    """Write a screen of as many images with one lesion each as the layout has."""
    made = (make_phantom(seed, (240, 300)) for seed in range(30))
    images = [one.image for one in made if len(one.masks) == 1][: images_of_layout(layout) if layout else 1]
    screen = draw_screen(images, layout, np.random.default_rng(0), size=(480, 640)).image if layout else images[0]
    Image.fromarray(screen).save(file)


@pytest.mark.parametrize("layout", [None, "header", "sector", "dual"])
def test_what_is_explained_is_what_is_predicted(layout: ScreenLayout | None, tmp_path: Path) -> None:
    show(layout, tmp_path / "screen.png")
    pixels = read_source(tmp_path / "screen.png").pixels
    region = mask_of(find_regions(pixels), pixels.shape)
    model = find_model("lite_unet")
    explainer = Explainer.load(model, methods=["grad_cam"])
    lesion = Predictor(model, backend="torch", precision="fp32").predict(pixels) >= explainer.threshold
    assert lesion.any()
    masks = [tmp_path / "mask.png"]
    Image.fromarray(lesion).save(masks[0])
    explained = explainer(ExplainItem("a", tmp_path / "screen.png", 0, Path("a"), masks))
    np.testing.assert_array_equal(explained.prediction, lesion)
    np.testing.assert_array_equal(explained.seen, region)
    assert explained.chance == pytest.approx(lesion.sum() / region.sum())
    (cam,) = explained.maps
    assert cam.values.shape == pixels.shape
    assert not cam.values[~region].any()
    assert explained.energy(cam) > 4 * explained.chance


def test_a_bundle_that_does_not_crop_sees_black_around_the_ultrasound_too(small_weights: Path, tmp_path: Path) -> None:
    show("header", tmp_path / "screen.png")
    model = find_model("baseline", str(small_weights))
    pixels = read_source(tmp_path / "screen.png").pixels
    region = mask_of(find_regions(pixels), pixels.shape)
    predicted = Predictor(model, backend="torch", precision="fp32").predict(pixels)
    explainer = Explainer.load(model, methods=["grad_cam", "occlusion"])
    explained = explainer(ExplainItem("a", tmp_path / "screen.png", 0, Path("a")))
    np.testing.assert_array_equal(explained.prediction, predicted >= explainer.threshold)
    np.testing.assert_array_equal(explained.seen, region)
    assert all(one.values.any() and not one.values[~region].any() for one in explained.maps)


def test_of_a_mammogram_all_is_seen_and_its_mask_is_cleaned(tmp_path: Path) -> None:
    layout = {"depth": 8, "base_width": 4, "use_ac": False, "caw": "none", "bottleneck_norm": False}
    torch.manual_seed(0)
    torch.save(make_segmenter("cgan", layout).state_dict(), tmp_path / "model.pt")
    settings = {"image_size": [256, 256], "base_width": 4}
    model = TrainedModel("crops", find_bundle("mammo_cgan"), str(tmp_path / "model.pt"), settings)
    # dark borders, which a screen of ultrasound has around its image
    pixels = np.pad(make_phantom(0, (200, 200)).image, 40)
    Image.fromarray(pixels).save(tmp_path / "mammogram.png")
    explained = Explainer.load(model, methods=["grad_cam"])(ExplainItem("a", tmp_path / "mammogram.png", 0, Path("a")))
    assert explained.seen.all()
    parts = bundle_parts(model)
    item = parts.before({"image": MetaTensor(torch.from_numpy(pixels / np.float32(255))[None])})
    with torch.no_grad():
        logits = parts.network(item["image"].as_tensor()[None])[0]
    cleaned = parts.after(item | {"pred": MetaTensor(logits)})["pred"].numpy()[0] >= 0.5
    assert cleaned.any()
    np.testing.assert_array_equal(explained.prediction, cleaned)
