"""Colours of the clusters of a map: those that lie beside each other are of like hues, and all can be told apart."""

from __future__ import annotations

import numpy as np

POINTS, NAMES = {"light": (0.58, 0.68, 0.63), "dark": (0.66, 0.78, 0.72)}, {"light": 0.42, "dark": 0.88}
"""How light points are, by turns, and names, on a light and on a dark ground: OKLCH's lightness, from 0 to 1."""
CHROMA = {"points": 0.15, "names": 0.09}
GREY = {"light": "#b4b4ae", "dark": "#66666a"}
"""Points in no cluster."""


def cluster_colours(middles: np.ndarray, ground: str) -> tuple[list[str], list[str]]:
    """The colours of points and names, as "#rrggbb", of clusters whose middles are (c, 2), on a "light" or "dark" ground.

    Hues go around the map, evenly, as in datamapplot; from one to the next the lightness changes.
    """
    centre = middles.mean(axis=0) if len(middles) else np.zeros(2)
    angles = np.arctan2(*(middles - centre).T[::-1]) if len(middles) else np.empty(0)
    turns = np.empty(len(middles), np.int64)
    turns[np.argsort(angles, kind="stable")] = np.arange(len(middles))
    hues = turns / max(len(middles), 1) * 2 * np.pi + 0.4
    lightness = np.array(POINTS[ground])[turns % 3]
    points = _srgb(lightness, CHROMA["points"], hues)
    return points, _srgb(np.full(len(middles), NAMES[ground]), CHROMA["names"], hues)


def _srgb(lightness: np.ndarray, chroma: float, hues: np.ndarray) -> list[str]:
    """Colours of OKLCH (Ottosson 2020, A perceptual color space for image processing) as "#rrggbb"; what sRGB lacks becomes
    the nearest that it has, channel by channel."""
    a, b = chroma * np.cos(hues), chroma * np.sin(hues)
    cubed = [
        lightness + 0.3963377774 * a + 0.2158037573 * b,
        lightness - 0.1055613458 * a - 0.0638541728 * b,
        lightness - 0.0894841775 * a - 1.2914855480 * b,
    ]
    to_linear = np.array(
        [
            [4.0767416621, -3.3077115913, 0.2309699292],
            [-1.2684380046, 2.6097574011, -0.3413193965],
            [-0.0041960863, -0.7034186147, 1.7076147010],
        ]
    )
    linear = np.clip(to_linear @ np.array(cubed) ** 3, 0, 1)
    values = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in np.round(values.T * 255).astype(int).tolist()]
