"""A windowed cache keeps what a window can reach, and no more."""

import pytest
import torch

from tests.generation.tiny import prompts_of, tiny
from zoo.generation import windowed_cache
from zoo.generation.cache import Laid
from zoo.generation.windowed_cache import SPARE, WindowedCache, WindowedCacheConfig

WINDOW, LENGTH = 5, 300


def memory_of(laid: Laid) -> int:
    """Places of a buffer that holds one number for each."""
    assert laid._buffer is not None
    return laid._buffer.untyped_storage().nbytes() // laid._buffer.element_size()


@pytest.mark.parametrize("window", [0, 5, 100])
@pytest.mark.parametrize("prompt", [1, 7, 250])
def test_memory_is_bounded_and_the_window_is_whole(window: int, prompt: int) -> None:
    cache = WindowedCache([window, None])
    places = torch.arange(LENGTH, dtype=torch.float64)[None, None, :, None]
    for start, stop in ((0, prompt), *((i, i + 1) for i in range(prompt, LENGTH))):
        cache.append(torch.arange(start, stop)[None], None)
        near, far = cache.keys(window), cache.keys(None)
        first = max(0, start - window)
        assert near.positions_BS[0].tolist() == [*range(first, stop)]
        assert (near.offset, near.start) == (start - first, first)
        assert (far.offset, far.start, far.positions_BS.shape[1]) == (start, 0, stop)
        new = places[:, :, start:stop]
        for layer, oldest in ((0, first), (1, 0)):
            keys, values = cache.layer(layer).extend(new, -new)
            assert torch.equal(keys, places[:, :, oldest:stop])
            assert torch.equal(values, -keys)
        assert memory_of(cache.layer(0)._keys) <= window + max(window, SPARE)
    assert cache.length == LENGTH
    assert memory_of(cache.layer(1)._keys) >= LENGTH


def test_buffers_are_no_longer_than_a_row_will_be() -> None:
    cache = WindowedCacheConfig().build([1000, 2], 40)
    new = torch.zeros(1, 1, 3, 1)
    for layer in (0, 1):
        keys = cache.layer(layer)
        keys.extend(new, new)
        assert memory_of(keys._keys) == 40  # type: ignore[attr-defined]


def test_what_was_handed_out_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windowed_cache, "SPARE", 1)
    layer = WindowedCache([2]).layer(0)
    handed = []
    for place in range(12):
        new = torch.full((1, 1, 1, 1), float(place))
        handed.append(layer.extend(new, new)[0])
    for place, keys in enumerate(handed):
        assert keys.flatten().tolist() == [*range(max(0, place - 2), place + 1)]


def test_a_long_row_is_what_it_is_at_once() -> None:
    model = tiny("decoder", positions="rotary", max_length=LENGTH, layers={"0": {"attention": {"window": WINDOW}}})
    tokens = torch.tensor(prompts_of((LENGTH,)))
    with torch.inference_mode():
        cache = WindowedCache(model.backbone.stack.windows)
        pieces = [model.backbone(part, cache=cache) for part in tokens.split([20, *[1] * (LENGTH - 20)], dim=1)]
        torch.testing.assert_close(torch.cat(pieces, dim=1), model.backbone(tokens), rtol=0, atol=1e-11)
