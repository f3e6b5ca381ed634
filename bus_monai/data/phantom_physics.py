"""From echogenicity and attenuation to a B-mode image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

AXIAL_SIGMA, LATERAL_SIGMA = 0.9, 2.0
"""Standard deviations of the point-spread function along and across depth, in pixels: a pulse is shorter than a beam is
wide."""


def speckle_envelope(amplitude: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the envelope of the echoes of many scatterers a resolution cell.

    Scatterers are circular complex Gaussian with the given amplitude; the point-spread function is Gaussian. Where the
    amplitude is constant the envelope is Rayleigh distributed: fully developed speckle, whose ratio of mean to
    standard deviation is sqrt(pi / (4 - pi)) = 1.91 (Wagner et al., IEEE Trans. Sonics Ultrason. 30, 1983).

    Args:
        amplitude: (H, W), non-negative, rows are depth.
        rng: source of the scatterers.

    Returns:
        (H, W), non-negative; of mean square 2 where the amplitude is 1.
    """
    field = rng.standard_normal((2, *amplitude.shape), dtype=np.float32) * amplitude
    # the filter averages, which takes 1 / (4 pi s_a s_l) of the variance; give it back
    gain = np.sqrt(4 * np.pi * AXIAL_SIGMA * LATERAL_SIGMA)
    real, imaginary = (gaussian_filter(part, (AXIAL_SIGMA, LATERAL_SIGMA), mode="reflect") * gain for part in field)
    return np.asarray(np.hypot(real, imaginary))


def b_mode(
    echogenicity_db: NDArray[np.float32], attenuation_db: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Return the log-compressed 8-bit image.

    Args:
        echogenicity_db: (H, W), backscatter relative to glandular tissue.
        attenuation_db: (H, W), excess attenuation of each pixel over what time-gain compensation takes out; what lies
            below a pixel loses it.
        rng: source of speckle, gain and dynamic range.
    """
    lost = np.cumsum(attenuation_db, axis=0) - attenuation_db
    # beams overlap, so a shadow has no sharp sides
    lost = gaussian_filter(lost, (0, 1.5))
    envelope = speckle_envelope(10 ** ((echogenicity_db - lost) / 20), rng)
    level = 20 * np.log10(np.maximum(envelope, 1e-6))
    dynamic_range, top = rng.uniform(50, 62), rng.uniform(18, 25)
    unit = np.clip((level - top) / dynamic_range + 1, 0, 1)
    return np.rint(unit * 255).astype(np.uint8)
