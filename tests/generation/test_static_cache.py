"""A static cache: shapes that never change, so that one compiled graph serves every step."""

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter

from tests.generation.tiny import prompts_of, tiny
from zoo.errors import ConfigError, DataError
from zoo.generation.static_cache import DEFAULT_LENGTH, StaticCache, StaticCacheConfig
from zoo.nn.positions import PositionsConfig

ONE = torch.zeros(1, 1, dtype=torch.int64)


@pytest.mark.slow
@pytest.mark.parametrize(
    "positions, padded", [("rotary", False), *((one, True) for one in sorted(PositionsConfig.choices))]
)
def test_one_compiled_graph_serves_every_step(positions: str, padded: bool) -> None:
    torch._dynamo.reset()
    model = tiny("decoder", num_layers=1, positions=positions, attention={"window": 4})
    tokens = torch.tensor(prompts_of((12, 12)))
    where = torch.arange(12)[None].expand(2, -1)
    documents = torch.zeros_like(tokens)
    documents[1, :2] = -1
    counter = CompileCounter()
    step = torch.compile(model.backbone, backend=counter, fullgraph=True)
    with torch.no_grad():
        inputs = (tokens, where, documents) if padded else (tokens,)
        whole, cache = model.backbone(*inputs), StaticCache(12, 1)
        parts = [side.split([4, *[1] * 8], dim=1) for side in inputs]
        hidden = [model.backbone(*(side[0] for side in parts), cache=cache)]
        for piece in range(1, 9):
            hidden.append(step(*(side[piece].clone() for side in parts), cache=cache))
    assert counter.frame_count == 1
    real = documents >= 0
    torch.testing.assert_close(torch.cat(hidden, dim=1)[real], whole[real], rtol=0, atol=1e-11)


def kept(cache: StaticCache, count: int) -> tuple[Tensor, Tensor]:
    cache.append(torch.arange(count)[None], None)
    return cache.layer(0).extend(torch.ones(1, 2, count, 3), torch.ones(1, 2, count, 4))


def test_shapes_never_change_and_what_is_not_written_is_zero() -> None:
    cache = StaticCache(6, 1)
    for count, written in ((3, 3), (1, 4), (2, 6)):
        keys, values = kept(cache, count)
        assert keys.shape == (1, 2, 6, 3)
        assert values.shape == (1, 2, 6, 4)
        assert int(cache.length) == written == int(keys[0, 0, :, 0].sum())
        assert (cache.keys(None).offset, cache.keys(None).start) == (written - count, 0)
        assert cache.keys(None).positions_BS.shape == (1, 6)


def test_too_many_places_are_refused() -> None:
    cache = StaticCache(4, 1)
    kept(cache, 3)
    with pytest.raises(DataError, match=r"4 places has 3 and cannot take 2 more; .*cache.length"):
        kept(cache, 2)
    with pytest.raises(ConfigError, match=r"^cache.length: 8 places do not hold the 9"):
        StaticCacheConfig(length=8).build([None], 9)


def test_the_length_is_what_is_said_or_what_is_needed() -> None:
    lengths = [(None, None, DEFAULT_LENGTH), (None, 7, 7), (9, 7, 9), (9, None, 9)]
    for said, needed, expected in lengths:
        cache = StaticCacheConfig(length=said).build([None], needed)
        assert isinstance(cache, StaticCache)
        assert cache.num_places == expected


@pytest.mark.parametrize("first", [True, False])
def test_documents_must_come_always_or_never(first: bool) -> None:
    cache = StaticCache(4, 1)
    cache.append(ONE, ONE if first else None)
    with pytest.raises(DataError, match="all calls or of none"):
        cache.append(ONE, None if first else ONE)
