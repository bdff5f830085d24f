"""How many rows go side by side: what they take is known before they are there."""

from typing import Any

import pytest
import torch

from tests.generation.tiny import pretrained, prompts_of, tiny
from zoo.errors import ConfigError
from zoo.generation import rows
from zoo.generation.cache import GrowingCacheConfig, Laid
from zoo.generation.decoding import DecodingConfig
from zoo.generation.generate import TokenRoles, generate
from zoo.generation.rows import CHOICE_BYTES, prompts_at_once, row_bytes


@pytest.mark.parametrize("changes", [{}, {"num_kv_heads": 2, "head_dim": 6}], ids=str)
def test_a_row_has_the_keys_and_values_that_its_cache_holds(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, laid = tiny("decoder", positions="rotary", **changes), []
    extend = Laid.extend

    def heard(self: Laid, new: torch.Tensor) -> torch.Tensor:
        laid.append(new.nbytes if new.dim() == 4 else 0)
        return extend(self, new)

    monkeypatch.setattr(Laid, "extend", heard)
    generate(model, prompts_of((5,)), TokenRoles(23, 0), max_new_tokens=4, cache=GrowingCacheConfig())
    unread = sum(laid) // 8  # of eight places; the last token that is written is never read
    assert row_bytes(model, 5, 4) == sum(laid) + unread + 23 * CHOICE_BYTES


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
        return prompts_at_once(model, [5, 2], [10, 9], config, batch_size)

    assert [at_once(memory) for memory in (each, 2 * each, 7 * each, 100 * each)] == [1, 1, 3, 16]
    assert at_once(100 * each, 2) == 2
    with pytest.raises(ConfigError, match=r"4 rows side by side take about .*; take at most 3") as caught:
        at_once(each - 1)
    assert caught.value.key == name
    assert prompts_at_once(model, [5], [10], DecodingConfig(), 7) == 7  # a row a prompt is nobody's choice


def test_fewer_side_by_side_write_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, prompts = pretrained("decoder", positions="rotary"), ["The dog", "A", "In the park"]
    options: dict[str, Any] = {"temperature": 1.0, "seed": 4, "best_of": 3, "max_new_tokens": 6}
    whole = model.generate(prompts, **options)
    monkeypatch.setattr(rows, "memory_of", lambda device: 3 * row_bytes(model.model, 12, 6))
    assert model.generate(prompts, **options) == whole
