"""How many rows go side by side: no more than the device has memory for.

Each text that is drawn, and each beam, is a row with keys and values of its own. What they take is estimated before
anything is computed, so that a number that cannot fit is an error with its name and not the end of the process.
"""

from __future__ import annotations

from collections.abc import Sequence

from zoo.errors import ConfigError
from zoo.generation.decoding import DecodingConfig
from zoo.generation.generate import writing_stack
from zoo.memory import memory_of
from zoo.models.base import Model
from zoo.models.encoder_decoder import EncoderDecoder

SHARE = 0.5
"""Of a device's memory, what the rows of several prompts may take together; the rest is for weights and for others."""
CHOICE_BYTES = 32
"""Of each token of the vocabulary and row: log-probabilities, penalties and sums, in float64 at most."""


def row_bytes(model: Model, prompt_length: int, num_new: int) -> int:
    """Bytes of a row at its longest: keys and values of all places and layers, and what a token is chosen from."""
    weight = model.backbone.tokens.weight
    layers = [layer.attention_heads for layer in writing_stack(model).config.layer_configs()]
    place = sum(2 * heads.num_kv_heads * heads.head_dim for heads in layers) * weight.element_size()
    # An encoder-decoder begins its output with one token, and keeps keys and values of its input's places beside it.
    places = prompt_length + num_new + isinstance(model.backbone, EncoderDecoder)
    return place * places + weight.shape[0] * CHOICE_BYTES


def prompts_at_once(
    model: Model, prompt_lengths: Sequence[int], limits: Sequence[int], config: DecodingConfig, batch_size: int
) -> int:
    """How many prompts are worked on side by side: `batch_size`, or as many as there is memory for.

    Args:
        model: that writes.
        prompt_lengths: tokens of each prompt.
        limits: tokens that each may get.
        config: how many rows a prompt has.
        batch_size: prompts at most.

    Raises:
        ConfigError: the rows of one prompt alone take more memory than the device has.
    """
    rows = max(config.num_beams, config.samples)
    if rows == 1 or not prompt_lengths:
        return batch_size
    memory = memory_of(model.backbone.tokens.weight.device.type)
    each = max(row_bytes(model, length, limit) for length, limit in zip(prompt_lengths, limits, strict=True))
    if rows * each > memory:
        name = "num_beams" if config.num_beams > 1 else "num_return" if config.best_of is None else "best_of"
        raise ConfigError(
            f"{rows} rows side by side take about {_in_gb(rows * each)} GB, and there are {_in_gb(memory)}; take at "
            f"most {memory // each}, or a lower max_new_tokens",
            name,
        )
    return max(1, min(batch_size, int(SHARE * memory) // (rows * each)))


def _in_gb(size: int) -> str:
    return f"{size / 1e9:,.3g}" if size < 1e12 else f"{size / 1e9:,.0f}"
