"""The ways of explaining by name. Imports neither torch nor MONAI."""

from __future__ import annotations

from bus_monai.errors import UserError

TITLES = {
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "occlusion": "occlusion",
    "attention": "attention",
    "dropout": "Monte-Carlo dropout",
    "augmentation": "test-time augmentation",
}
METHODS = tuple(TITLES)


def parse_methods(text: str) -> tuple[str, ...]:
    """Read names joined by commas, in the order of :data:`METHODS`.

    Raises:
        UserError: there is no such method.
    """
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if name not in METHODS:
            raise UserError(f"--methods has '{name}': use one or more of {', '.join(METHODS)}, joined by commas.")
    return tuple(name for name in METHODS if name in names)
