"""Detectors by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from bus_monai.detection.boxes import default_boxes
from bus_monai.detection.ssd import DETECTOR_CLASSES, DETECTOR_NAMES, SSD, SSD300, make_detector, split_output
from tests.detection.corners import as_centers
from tests.user_errors import raises_user_error


def test_one_tensor_is_taken_apart_again() -> None:
    torch.manual_seed(0)
    net = make_detector("ssd_lite").eval()
    x = torch.rand(2, 1, 300, 300)
    with torch.no_grad():
        output = net(x)
        expected = net.network.network(x)
    assert output.shape == (2, 6, 8732)
    assert all(torch.equal(a, b) for a, b in zip(split_output(output), expected, strict=True))


@pytest.mark.parametrize(
    ("name", "count"), [("ssd300", 23_745_908), ("ssd_lite", 1_555_940), ("ssd_efficientnet", 4_112_756)]
)
def test_parameters(name: str, count: int) -> None:
    assert sum(p.numel() for p in make_detector(name).parameters()) == count


@pytest.mark.parametrize("make", DETECTOR_CLASSES.values())
def test_color_images(make: Callable[..., SSD]) -> None:
    net, image = make(in_channels=3).eval(), torch.rand(1, 3, 300, 300)
    with torch.no_grad():
        (offsets, logits), turned = net(image), net(image.roll(1, dims=1))
    assert (offsets.shape, logits.shape) == ((1, 8732, 4), (1, 8732, 2))
    assert not torch.equal(turned[0], offsets)
    with raises_user_error("(1, 1, 300, 300)", "(B, 3, 300, 300)"):
        net(image[:, :1])


@pytest.mark.parametrize("name", ["ssd_lite", "ssd_efficientnet"])
def test_every_parameter_of_ours_learns(name: str) -> None:
    net = make_detector(name)
    net(torch.rand(1, 1, 300, 300)).square().mean().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_an_encoder_of_photographs_sees_their_spread() -> None:
    torch.manual_seed(0)
    net = make_detector("ssd_efficientnet").eval()
    images = 0.2 + 0.1 * torch.rand(4, 1, 300, 300)
    net.fit_input_statistics(images)
    seen: list[torch.Tensor] = []
    net.network.network.encoder.stem.register_forward_pre_hook(lambda _stem, args: seen.append(args[0]))
    with torch.no_grad():
        net(images)
    image = seen[0][..., :300, :300]
    assert float(image.mean()) == pytest.approx(0, abs=1e-3)
    assert float(image.std()) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("name", ["ssd_lite", "ssd_efficientnet"])
def test_a_map_moves_with_the_image_by_the_step_of_its_boxes(name: str) -> None:
    """What lies 64 pixels to the right and below is seen 8, 4 and 2 cells further, where it touches no border."""
    torch.manual_seed(0)
    network = DETECTOR_CLASSES[name]().eval()
    image = torch.zeros(1, 1, 300, 300)
    image[:, :, 100:140, 90:150] = torch.rand(1, 1, 40, 60)
    with torch.no_grad():
        still, moved = (network.maps(x)[0] for x in (image, image.roll((64, 64), dims=(2, 3))))
    found, wanted = moved[..., 20:26, 18:24], still[..., 12:18, 10:16]
    # an untrained network gives much the same everywhere
    spread = float((wanted - wanted.mean(dim=(2, 3), keepdim=True)).abs().max())
    torch.testing.assert_close(found, wanted, rtol=0, atol=0.01 * spread)


def test_an_unknown_name() -> None:
    with raises_user_error("ssd", "'ssd300'", *DETECTOR_NAMES, key="network_name"):
        make_detector("ssd")


@pytest.fixture(scope="module")
def net() -> SSD300:
    torch.manual_seed(0)
    return SSD300().eval()


def count(*parameters: torch.Tensor) -> int:
    return sum(p.numel() for p in parameters)


def test_parameters_ssd300(net: SSD300) -> None:
    heads = count(*net.logits.parameters(), *net.offsets.parameters())
    body = count(*net.parameters()) - heads
    assert count(*net.features.parameters()) == 14_714_688  # VGG-16 without its classifier
    assert count(*net.parameters()) == 23_745_908
    # with the 91 classes of COCO: what torchvision documents for its SSD300_VGG16_Weights
    assert body + heads // 6 * 95 == 35_641_826


def test_features_are_named_as_in_torchvision(net: SSD300) -> None:
    names = [f"features.{i}.weight" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)]
    assert [name for name in net.state_dict() if name.startswith("features") and name.endswith("weight")] == names


def test_an_output_a_box_in_the_order_of_the_default_boxes(net: SSD300) -> None:
    """The gradient of a box's output is centered on the box."""
    x = torch.rand(1, 1, 300, 300, requires_grad=True)
    offsets, logits = net(x)
    assert offsets.shape == (1, 8732, 4)
    assert logits.shape == (1, 8732, 2)
    # row 25, column 8 of the first map, where the receptive field lies inside the image
    box = (25 * 38 + 8) * 4 + 2
    logits[0, box, 1].backward()
    rows, columns = x.grad[0, 0].nonzero().T
    cx, cy = (as_centers(default_boxes())[box, :2] * 300).tolist()
    assert (float(columns.min() + columns.max()) / 2, float(rows.min() + rows.max()) / 2) == pytest.approx(
        (cx, cy), abs=6
    )


def test_wrong_size_is_named(net: SSD300) -> None:
    with raises_user_error("SSD300", (1, 1, 64, 64), "(B, 1, 300, 300)"):
        net(torch.rand(1, 1, 64, 64))


def test_every_parameter_learns(net: SSD300) -> None:
    offsets, logits = net(torch.rand(1, 1, 300, 300))
    net.zero_grad()
    (offsets.square().mean() + logits.square().mean()).backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
