"""How many rows go side by side: what they take is known before they are there."""

from typing import Any

import pytest
import torch

from tests.generation.tiny import pretrained, prompts_of, tiny
from zoo.errors import ConfigError
from zoo.generation import rows
from zoo.generation.cache import MOST_RESERVED, CacheConfig, GrowingCacheConfig
from zoo.generation.decoding import DecodingConfig
from zoo.generation.options import decoding_config
from zoo.generation.roles import TokenRoles
from zoo.generation.room import MOST_NEW_TOKENS
from zoo.generation.rows import CHOICE_BYTES, prompts_at_once, row_bytes
from zoo.generation.running import Places, Running
from zoo.generation.static_cache import StaticCacheConfig
from zoo.generation.windowed_cache import SPARE, WindowedCacheConfig
from zoo.nn.attention import AttentionConfig

ROLES = TokenRoles(23, 0)


SHAPES: dict[str, dict[str, Any]] = {
    "grouped": {"num_kv_heads": 2, "head_dim": 6},
    "narrow_values": {"head_dim": 12, "attention": {"kind": "latent", "value_dim": 4}},
    "wide_values": {"head_dim": 12, "attention": {"kind": "latent", "value_dim": 20}},
    "differential": {"num_kv_heads": 2, "attention": {"differential": {}}},
    "one_window": {"layers": {"1": {"attention": {"window": 3}}}},
    "shared": {"sharing": "all"},
    **{kind: {"attention": kind} for kind in AttentionConfig.choices},
}
CACHES: list[Any] = [*CacheConfig.choices, {"kind": "static", "length": 200}]


@pytest.mark.parametrize("cache", CACHES, ids=str)
@pytest.mark.parametrize("family", ["decoder", "encoder_decoder"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_has_the_keys_and_values_that_its_cache_holds(shape: str, family: str, cache: Any) -> None:
    model = tiny(family, positions="rotary", max_length=128, **SHAPES[shape])
    held = decoding_config({"cache": cache}).cache
    running = Running.started(model, prompts_of((5,)), ROLES, held, num_new=90)
    with torch.inference_mode():
        running.logits()
        running.places = Places(torch.ones(1, 90, dtype=torch.int64))
        running.logits()
    numbers = numbers_in(running.cache, running._memory and running._memory.cache)
    assert row_bytes(model, 5, 90, held) == 8 * numbers + 23 * CHOICE_BYTES


def numbers_in(*parts: object) -> int:
    """How many numbers the tensors of keys and of values (rows, heads, places, width) have that lie in these parts."""
    waiting, seen, found = [*parts], [], 0
    while waiting:
        part = waiting.pop()
        if any(part is one for one in seen) or isinstance(part, torch.nn.Module):
            continue
        seen.append(part)
        if isinstance(part, torch.Tensor):
            found += part.numel() if part.dim() == 4 else 0
        elif isinstance(part, list | tuple | dict):
            waiting += part.values() if isinstance(part, dict) else part
        else:
            waiting += getattr(part, "__dict__", {}).values()
    return found


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
@pytest.mark.parametrize(
    "options, name", [({"num_beams": 4}, "num_beams"), ({"num_return": 4}, "num_return"), ({"best_of": 4}, "best_of")]
)
def test_what_does_not_fit_is_refused_and_what_fits_is_shared_out(
    kind: str, options: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(kind, positions="rotary")
    each = 4 * row_bytes(model, 5, 10)
    config = DecodingConfig(temperature=0.0 if name == "num_beams" else 1.0, **options)

    def at_once(memory: int, batch_size: int = 16) -> int:
        monkeypatch.setattr(rows, "memory_of", lambda device: memory)
        return prompts_at_once(model, [5, 2], [10, 9], config, ROLES, batch_size)

    assert [at_once(memory) for memory in (each, 2 * each, 7 * each, 100 * each)] == [1, 1, 3, 16]
    assert at_once(100 * each, 2) == 2
    with pytest.raises(ConfigError, match=r"4 rows side by side take about .*; take at most 3") as caught:
        at_once(each - 1)
    assert caught.value.key == name
    with pytest.raises(ConfigError, match=r"take a lower max_new_tokens: not even one fits"):
        at_once(each // 4 - 1)


ENDING = ROLES._replace(stop=(3,))
GROWING, STATIC, LONG = GrowingCacheConfig(), StaticCacheConfig(), 10**6


@pytest.mark.parametrize(
    "cache, roles, written",
    [(None, ENDING, 1), (GROWING, ENDING, 1), (GROWING, ROLES, LONG), (STATIC, ENDING, LONG), (STATIC, ROLES, LONG)],
)
def test_a_single_row_is_counted_with_what_it_takes_in_any_case(
    cache: CacheConfig | None, roles: TokenRoles, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, config = tiny("decoder", positions="rotary"), DecodingConfig(cache=cache)
    needed = row_bytes(model, 5, written if written > 1 else MOST_RESERVED)

    def at_once(memory: int) -> int:
        monkeypatch.setattr(rows, "memory_of", lambda device: memory)
        return prompts_at_once(model, [2, 5], [LONG, LONG], config, roles, 16)

    assert [at_once(memory) for memory in (needed, 2 * needed, 7 * needed, 100 * needed)] == [1, 1, 3, 16]
    with pytest.raises(ConfigError) as caught:
        at_once(needed - 1)
    assert caught.value.key == ("cache" if written == 1 or roles is ENDING else "max_new_tokens")


def test_a_least_length_that_does_not_fit_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    model, config = tiny("decoder", positions="rotary"), DecodingConfig(min_new_tokens=5000)
    monkeypatch.setattr(rows, "memory_of", lambda device: row_bytes(model, 5, 5000) - 1)
    with pytest.raises(ConfigError, match=r"^min_new_tokens: 5000 tokens behind a prompt of 5 take about .*ask for"):
        prompts_at_once(model, [5], [LONG], config, ENDING, 16)


def test_a_window_bounds_what_a_row_holds() -> None:
    model = tiny("decoder", positions="rotary", layers={"1": {"attention": {"window": 3}}})
    whole, windowed = row_bytes(model, 5, 995), row_bytes(model, 5, 995, WindowedCacheConfig())
    assert whole - windowed == (1000 - 3 - SPARE) * 2 * 16 * 8  # of one of the layers, keys and values in float64


@pytest.mark.parametrize("kind", ["decoder", "encoder_decoder"])
def test_what_may_become_long_takes_no_memory_before_it_is(kind: str) -> None:
    model = pretrained(kind, positions="alibi")
    anything = list(range(model.tokenizer.vocab_size))
    assert model.generate("The dog", max_new_tokens=MOST_NEW_TOKENS, stop_tokens=anything) == ""
    first = next(iter(model.stream("The dog", max_new_tokens=MOST_NEW_TOKENS)))
    assert first
    assert model.generate("The dog", max_new_tokens=8).startswith(first)
    for cache in ("static", {"kind": "static", "length": 2**31 + 8}):
        with pytest.raises(ConfigError, match=r"^cache: a static one for 21474836.. places takes about"):
            model.stream("The dog", max_new_tokens=MOST_NEW_TOKENS, cache=cache)


def test_fewer_side_by_side_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = pretrained("decoder", positions="rotary"), ["The dog", "A", "In the park"]
    options: dict[str, Any] = {"temperature": 1.0, "seed": 4, "best_of": 3, "max_new_tokens": 6}
    whole = model.generate(prompts, **options)
    monkeypatch.setattr(rows, "memory_of", lambda device: 3 * row_bytes(model.model, 12, 6))
    assert model.generate(prompts, **options) == whole
