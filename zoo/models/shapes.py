"""Shapes that matrix units of GPUs do badly: widths that their tiles do not divide.

Anthony et al. 2024, "The Case for Co-Designing Model Architectures with Hardware", arXiv:2401.14489, section VI: the
vocabulary should be a multiple of 64, and widths of the model and of a head multiples of as large a power of two as
they can be, with nothing gained beyond 64. Why: NVIDIA, "Matrix Multiplication Background User's Guide":
half-precision products are fastest where each dimension is a multiple of 64 numbers (128 bytes), and slower without
matrix units where it is no multiple of 8.
"""

from __future__ import annotations

from collections.abc import Iterator

from zoo.models.base import Model
from zoo.nn.feed_forward import FeedForward

TILE = 64
"""What widths should be a multiple of."""


def awkward_shapes(model: Model) -> Iterator[tuple[str, str]]:
    """(setting, what is wrong with it and what to do), for each width that is no multiple of TILE."""
    rows = model.backbone.tokens.num_embeddings
    if rows % TILE:
        yield "vocab_size", f"the token table has {rows} rows; vocab_multiple={TILE} pads it to {rows + -rows % TILE}"
    for side in model.config.sides():
        under = f"{side.key}." if side.key else ""
        layers = side.stack.layer_configs()
        if side.stack.dim % TILE:
            yield f"{under}dim", f"{side.stack.dim} is the width of all products; {_nearest(side.stack.dim)}"
        for width in sorted({layer.attention_heads.head_dim for layer in layers}):
            if width % TILE:
                yield f"{under}head_dim", f"heads are {width} wide; 64 and 128 are the widths that kernels are made for"
    inner = {part.input.out_features for part in model.modules() if isinstance(part, FeedForward)}
    for width in sorted(inner):
        if width % TILE:
            yield "feed_forward_dim", f"a feed-forward is {width} wide inside; {_nearest(width)}"


def _nearest(width: int) -> str:
    below, above = width // TILE * TILE, -(-width // TILE) * TILE
    return f"the nearest multiples of {TILE} are {below} and {above}" if below else f"{above} would be a multiple"
