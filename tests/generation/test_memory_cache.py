"""The keys and values of a memory are projected once, and are what they would be each time."""

from typing import Any

import pytest
import torch
from torch import nn

from tests.generation.tiny import prompts_of, tiny
from zoo.generation.cache import GrowingCache
from zoo.generation.memory_cache import MemoryCache, remembered, selected
from zoo.nn.attention import Attention


def counted(model: nn.Module) -> list[Any]:
    """A list that grows whenever a cross-attention projects a memory."""
    calls: list[Any] = []
    for block in model.backbone.decoder.blocks:  # type: ignore[union-attr]
        project = block.cross_attention.sublayer.project
        project.key.register_forward_hook(lambda *call: calls.append(call))
    return calls


@pytest.mark.parametrize("sharing, expected", [("none", 3), ("all", 1)])
def test_each_attention_projects_a_memory_once(sharing: str, expected: int) -> None:
    model = tiny("encoder_decoder", num_layers=3, sharing=sharing)
    calls, tokens = counted(model), torch.tensor(prompts_of((6, 6)))
    with torch.inference_mode():
        memory = model.backbone.encode(tokens)
        calls.clear()
        kept, cache, fresh = remembered(memory), GrowingCache(), GrowingCache()
        steps = [model.backbone.decode(part, kept, cache=cache) for part in tokens.split([3, 1, 1, 1], dim=1)]
        assert len(calls) == expected
        anew = [model.backbone.decode(part, memory, cache=fresh) for part in tokens.split([3, 1, 1, 1], dim=1)]
        assert len(calls) == expected + 4 * 3
    for one, other in zip(steps, anew, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("rows", [[1, 0, 0], [1]])
@pytest.mark.parametrize("padded", [False, True])
def test_selected_rows_go_on_as_they_were(rows: list[int], padded: bool) -> None:
    model = tiny("encoder_decoder")
    tokens, chosen = torch.tensor(prompts_of((6, 6))), torch.tensor(rows)
    documents = torch.tensor([[0] * 6, [0] * 4 + [-1] * 2]) if padded else None
    with torch.inference_mode():
        memory = model.backbone.encode(tokens, None, documents)
        kept, cache = remembered(memory), GrowingCache()
        model.backbone.decode(tokens[:, :2], kept, cache=cache)
        cache.reorder(chosen)
        last = model.backbone.decode(tokens[chosen, 2:], selected(kept, chosen), cache=cache)
        torch.testing.assert_close(last, model.backbone.decode(tokens, memory)[chosen, 2:], rtol=0, atol=1e-12)
        assert selected(memory, chosen).cache is None


def test_what_is_kept_is_of_each_attention_by_itself() -> None:
    model = tiny("encoder_decoder")
    attentions = [part for part in model.backbone.decoder.modules() if isinstance(part, Attention)]
    memory, cache = torch.randn(1, 3, 16, dtype=torch.float64), MemoryCache()
    for attention in attentions:
        keys, values = cache.recall(attention, memory)
        again, _ = cache.recall(attention, torch.zeros_like(memory))
        assert again is keys
        torch.testing.assert_close((keys, values), attention.of_memory(memory))
