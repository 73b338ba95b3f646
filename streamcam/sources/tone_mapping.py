"""High dynamic range, made ordinary for a model that has only seen ordinary pictures.

PQ after SMPTE ST 2084, HLG after ITU-R BT.2100 with the system gamma of a 1000 cd/m² display, reference
white at 203 cd/m² (ITU-R BT.2408). Only the small picture a model looks at goes through here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ..frames import RgbImage

_REFERENCE_WHITE_NITS = 203.0
_HLG_PEAK_NITS = 1000.0
_KNEE = 0.75
_PQ_TRANSFER = 16

_BT2020_TO_BT709 = np.array(
    [[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349], [-0.018151, -0.100579, 1.118730]], np.float32
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)


def tone_map(rgb: NDArray[np.uint16], transfer: int) -> RgbImage:
    """Ordinary sRGB of an HDR picture.

    Reference white stays close to white; what is brighter rolls off smoothly towards it, all three
    channels by the same factor, so that hue is kept.

    Args:
        rgb: ``uint16 (h, w, 3)``, full range, BT.2020 primaries, PQ or HLG coded.
        transfer: code point, 16 (PQ) or 18 (HLG).

    Returns:
        ``uint8 (h, w, 3)``, sRGB.
    """
    light = _linear_light_table(transfer)[rgb]
    if transfer != _PQ_TRANSFER:
        scene_luma = light @ _BT2020_LUMA
        light = light * (_HLG_PEAK_NITS / _REFERENCE_WHITE_NITS * np.power(scene_luma, np.float32(0.2)))[..., None]
    linear = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    peak = linear.max(axis=-1, keepdims=True)
    over = np.maximum(peak - _KNEE, 0) / (1 - _KNEE)
    rolled = np.minimum(peak, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over))
    linear = linear * (rolled / np.maximum(peak, 1e-6))
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * np.power(linear, 1 / 2.4) - 0.055)
    result: RgbImage = np.clip(coded * 255 + 0.5, 0, 255).astype(np.uint8)
    return result


@lru_cache(maxsize=2)
def _linear_light_table(transfer: int) -> NDArray[np.float32]:
    """float32 ``(65536,)``: light of each code, in units of reference white (PQ) or of the scene's peak (HLG)."""
    code = np.arange(65536) / 65535
    if transfer == _PQ_TRANSFER:
        power = code ** (1 / 78.84375)
        nits = 10000 * (np.maximum(power - 0.8359375, 0) / (18.8515625 - 18.6875 * power)) ** (1 / 0.1593017578125)
        return (nits / _REFERENCE_WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12).astype(np.float32)
