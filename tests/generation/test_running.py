"""A model at work on rows goes on from what is computed, wherever that came from."""

import pytest
import torch

from tests.generation.tiny import PADDING, VOCAB_SIZE, prompts_of, tiny
from zoo.generation.cache import GrowingCache
from zoo.generation.roles import TokenRoles
from zoo.generation.running import Places, Running, padded

ROLES = TokenRoles(VOCAB_SIZE, PADDING)


@pytest.mark.parametrize("left", [True, False])
def test_padded_rows(left: bool) -> None:
    places = padded([[5, 6, 7], [8]], 0, torch.device("cpu"), left=left)
    assert places.documents_BT is not None
    assert places.positions_BT is not None
    assert places.tokens_BT.tolist() == [[5, 6, 7], [0, 0, 8] if left else [8, 0, 0]]
    assert places.documents_BT.tolist() == [[0, 0, 0], [-1, -1, 0] if left else [0, -1, -1]]
    assert places.positions_BT.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert padded([[5, 6], [7, 8]], 0, torch.device("cpu"), left=left).documents_BT is None


@pytest.mark.parametrize("held", [0, 3, 8])
@torch.inference_mode()
def test_what_a_cache_holds_is_not_computed_again(held: int) -> None:
    model, prompts, cache = tiny("decoder", positions="rotary"), prompts_of((9,)), GrowingCache()
    if held:
        model.backbone(torch.tensor(prompts)[:, :held], cache=cache)
    history = ROLES.begin(prompts, torch.device("cpu"))
    running = Running(model, history, cache, Places(history.tokens_BS[:, held:]), VOCAB_SIZE)
    whole = Running.started(model, prompts, ROLES)
    for _ in range(3):
        logits_BV = running.logits()
        torch.testing.assert_close(logits_BV, whole.logits(), rtol=0, atol=1e-12)
        for one in (running, whole):
            one.append(logits_BV.argmax(dim=-1), torch.ones(1, dtype=torch.bool))
    assert running.history.written.tolist() == whole.history.written.tolist()
    assert cache.length == 11
