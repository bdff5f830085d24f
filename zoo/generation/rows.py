"""How many rows go side by side: no more than the device has memory for.

Each text that is drawn, and each beam, is a row with keys and values of its own. What they take is estimated before
anything is computed, so that a number that cannot fit is an error with its name and not the end of the process.

Rows that somebody asks for (beams, drawn texts) are counted at their longest. A single one is counted with what it
takes in any case: what its cache lays out at once, and all tokens where nothing ends it earlier. So a `max_new_tokens`
far beyond the memory stays possible with a cache that grows: it is a bound, and most texts end before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from zoo.errors import ConfigError
from zoo.generation.cache import CacheConfig, GrowingCacheConfig
from zoo.generation.decoding import DecodingConfig, asked_roles
from zoo.generation.roles import TokenRoles
from zoo.memory import memory_of
from zoo.models.base import Model
from zoo.spelling import named

SHARE = 0.5
"""Of a device's memory, what the rows of several prompts may take together; the rest is for weights and for others."""
CHOICE_BYTES = 32
"""Of each token of the vocabulary and row: log-probabilities, penalties and sums, in float64 at most."""


def row_bytes(model: Model, prompt_length: int, num_new: int, cache: CacheConfig | None = None) -> int:
    """Bytes of a row at its longest: keys and values of all places and layers, and what a token is chosen from.

    Args:
        model: that writes.
        prompt_length, num_new: tokens of the prompt, and those behind it.
        cache: how keys and values are kept; None: all of them.
    """
    cache, row = cache or GrowingCacheConfig(), _row_of(model, prompt_length)
    places = row.begun + num_new
    return _bytes(model, row, max(places, cache.reserved(row.begun, places)), cache)


class _RowPlaces(NamedTuple):
    """What a row begins with: places in the cache of the writing stack, and those of an input that it looks at."""

    begun: int
    beside: int


def _row_of(model: Model, prompt_length: int) -> _RowPlaces:
    """An encoder-decoder begins its output with one token, and keeps keys and values of its input beside it."""
    return _RowPlaces(1, prompt_length) if model.backbone.writes_apart else _RowPlaces(prompt_length, 0)


def _bytes(model: Model, row: _RowPlaces, places: int, cache: CacheConfig) -> int:
    """Bytes of a row of so many places in the cache."""
    weight, stack = model.backbone.tokens.weight, model.backbone.writing_stack
    each = [layer.attention.cached_numbers(layer.attention_heads) for layer in stack.config.layer_configs()]
    own = sum(numbers * cache.held(window, places) for numbers, window in zip(each, stack.windows, strict=True))
    # Layers that share their weights share what these make of an input.
    beside = row.beside * sum(each[stack.order.index(block)] for block in set(stack.order))
    return (own + beside) * weight.element_size() + weight.shape[0] * CHOICE_BYTES


def prompts_at_once(
    model: Model,
    prompt_lengths: Sequence[int],
    limits: Sequence[int],
    config: DecodingConfig,
    roles: TokenRoles,
    batch_size: int,
) -> int:
    """How many prompts are worked on side by side: `batch_size`, or as many as there is memory for.

    Args:
        model: that writes.
        prompt_lengths: tokens of each prompt.
        limits: tokens that each may get.
        config: how many rows a prompt has, and how their keys and values are kept.
        roles: what ends a row.
        batch_size: prompts at most.

    Raises:
        ConfigError: the rows of one prompt alone take more memory than the device has.
    """
    if not prompt_lengths:
        return batch_size
    memory = memory_of(model.backbone.tokens.weight.device.type)
    rows = max(config.num_beams, config.samples)
    pairs = list(zip(prompt_lengths, limits, strict=True))
    if rows == 1:
        each = max(_single_row(model, *pair, config, asked_roles(roles, config), memory) for pair in pairs)
    else:
        each = rows * max(row_bytes(model, *pair, config.cache) for pair in pairs)
    if each > memory:
        most, fewer = memory // (each // rows), f"a lower {named('max_new_tokens')}"
        raise ConfigError(
            f"{rows} rows side by side take about {_in_gb(each)} GB, and there are {_in_gb(memory)}; take "
            + (f"at most {most}, or {fewer}" if most else f"{fewer}: not even one fits"),
            config.several or "",
        )
    return max(1, min(batch_size, int(SHARE * memory) // each))


def _single_row(
    model: Model, prompt_length: int, limit: int, config: DecodingConfig, roles: TokenRoles, memory: int
) -> int:
    """Bytes that the only row of a prompt takes in any case; raises ConfigError where they do not fit."""
    cache = config.cache or GrowingCacheConfig()
    is_ended = bool(roles.stop or config.stop)
    surely = min(limit, max(roles.num_least, roles.num_forced, 1)) if is_ended else limit
    row = _row_of(model, prompt_length)
    written = _bytes(model, row, row.begun + surely, cache)
    places = cache.reserved(row.begun, row.begun + limit)
    laid = _bytes(model, row, places, cache)
    there_are = f"and there are {_in_gb(memory)}"
    if written > memory:
        told = f"{surely} tokens behind a prompt of {prompt_length} take about {_in_gb(written)} GB, {there_are}"
        name = "min_new_tokens" if is_ended and surely == roles.num_least else "max_new_tokens"
        raise ConfigError(f"{told}; ask for fewer" + ("" if is_ended else ": nothing ends a text earlier"), name)
    if laid > memory:
        raise ConfigError(
            f"a {cache.kind} one for {places} places takes about {_in_gb(laid)} GB at "
            f"once, {there_are}; take a lower {named('max_new_tokens')} (and length), or leave it out: a growing one "
            "takes memory as the text becomes longer",
            "cache",
        )
    return max(written, laid)


def _in_gb(size: int) -> str:
    return f"{size / 1e9:,.3g}" if size < 1e12 else f"{size / 1e9:,.0f}"
