"""Small pictures of attention weights: a square a pair of tokens, the darker the more weight.

The squares of one shade are one path, so a map of 24 × 24 takes two or three kilobytes; the style sheet colours it.
"""

from __future__ import annotations

import json
import string
from xml.etree.ElementTree import Element

import numpy as np

from zoo.report.attention import Heads
from zoo.report.markup import element

SHADES = 8
DIGITS = string.digits + string.ascii_lowercase


def heat_maps(heads: Heads) -> Element:
    """The maps of one layer side by side, with what they show and the tokens they are of."""
    title = f"layer {heads.layer + 1} of {heads.num_layers}"
    maps = [
        element("figure", _map(weights_TS, f"{title}, head {number + 1}"), element("figcaption", f"head {number + 1}"))
        for number, weights_TS in zip(heads.numbers, heads.weights_HTS, strict=True)
    ]
    left_out = heads.num_heads - len(heads.numbers)
    return element(
        "div",
        element("h4", title, element("small", f" {left_out} more heads not drawn") if left_out else None),
        element("div", *maps, class_="maps"),
        element("p", "Rows look, columns are looked at; point at a square.", class_="said note"),
        class_="heads",
        data_queries=json.dumps(heads.queries),
        data_keys=json.dumps(heads.keys),
    )


def _map(weights_TS: np.ndarray, words: str) -> Element:
    """One head as an SVG."""
    num_queries, num_keys = weights_TS.shape
    shades = np.ceil(np.sqrt(np.clip(weights_TS, 0, 1)) * SHADES - 0.5).astype(int)  # √: small weights show too
    paths = []
    for shade in range(1, SHADES + 1):
        squares = "".join(f"M{column} {row}h1v1h-1z" for row, column in np.argwhere(shades == shade))
        if squares:
            paths.append(element("path", d=squares, opacity=f"{shade / SHADES:.3g}"))
    return element(
        "svg",
        element("rect", width=num_keys, height=num_queries, class_="ground"),
        *paths,
        viewBox=f"0 0 {num_keys} {num_queries}",
        role="img",
        aria_label=words,
        data_weights=encoded(weights_TS),
    )


def encoded(weights_TS: np.ndarray) -> str:
    """Thousandths as two digits of base 36 each, row by row."""
    thousandths = np.rint(1000 * np.clip(weights_TS, 0, 1)).astype(int).ravel()
    return "".join(DIGITS[number // 36] + DIGITS[number % 36] for number in thousandths)
