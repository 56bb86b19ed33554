"""From light to a photograph: lens, exposure, tone, sensor noise, bytes."""

import numpy as np

from niwaki.data.rooms.arrays import Bytes, Floats
from niwaki.data.rooms.draws import Draws, noise_bytes

__all__ = ["develop"]


def develop(light: Floats, draws: Draws, noise_key: tuple[int, ...]) -> Bytes:
    """Return a photograph of the light that reaches a sensor.

    Args:
        light: Linear light, ``[3, H, W]``.
        draws: Where exposure, white balance, softness and noise level come from.
        noise_key: Names the noise.

    Returns:
        The picture, uint8 ``[3, H, W]``.
    """
    target = draws.uniform(0.16, 0.4)
    balance = (draws.uniform(0.92, 1.08), 1.0, draws.uniform(0.88, 1.08))
    scale = target / _mean(light)
    exposed = _soften(light, draws.uniform(0.35, 0.8))
    exposed *= np.array([b * scale for b in balance], np.float32)[:, None, None]
    # Bright parts bend towards white instead of clipping; the square root is the display's response.
    tone = np.sqrt(exposed * (1 + exposed * np.float32(0.15)) / (1 + exposed * np.float32(0.75)))
    grain = np.float32(draws.uniform(1.0, 5.0) / 128)
    noise = noise_bytes(light.size, *noise_key).reshape(light.shape).astype(np.float32) - np.float32(127.5)
    picture: Bytes = np.clip(tone * np.float32(255) + noise * grain + np.float32(0.5), 0, 255).astype(np.uint8)
    return picture


def _mean(light: Floats) -> float:
    # Whole numbers add up to the same total in any order.
    sample = (np.minimum(light[1, ::2, ::2], 4) * 4096).astype(np.int64)
    return max(float(sample.sum()) / (4096 * sample.size), 1e-3)


def _soften(light: Floats, sharp: float) -> Floats:
    side = np.float32((1 - sharp) / 2)
    middle = np.float32(sharp)
    rows = light * middle
    rows[:, 1:] += light[:, :-1] * side
    rows[:, :-1] += light[:, 1:] * side
    rows[:, 0] += light[:, 0] * side
    rows[:, -1] += light[:, -1] * side
    both = rows * middle
    both[:, :, 1:] += rows[:, :, :-1] * side
    both[:, :, :-1] += rows[:, :, 1:] * side
    both[:, :, 0] += rows[:, :, 0] * side
    both[:, :, -1] += rows[:, :, -1] * side
    return both
