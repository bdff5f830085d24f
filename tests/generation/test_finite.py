"""Damaged weights are told by every verb, never passed on as a result."""

from collections.abc import Callable

import pytest
import torch

from tests.generation.tiny import pretrained
from zoo.errors import ZooError
from zoo.generation.abilities import ABILITIES
from zoo.pretrained import Pretrained

VERBS: dict[str, Callable[[Pretrained], object]] = {
    "fill": lambda model: model.fill("The [MASK] <extra_id_0>" if model.config.kind == "encoder" else "<extra_id_0>"),
    "generate": lambda model: model.generate("The dog"),
    "score": lambda model: model.score("The dog", " sees"),
    "embed": lambda model: model.embed(["The dog", "A"]),
}


@pytest.mark.parametrize(("kind", "verb"), [(kind, verb) for kind, verbs in ABILITIES.items() for verb in verbs])
def test_weights_that_give_no_numbers_are_told(kind: str, verb: str) -> None:
    model = pretrained(kind)
    VERBS[verb](model)
    with torch.no_grad():
        model.model.backbone.tokens.weight.fill_(torch.nan)
    with pytest.raises(ZooError, match=r"are not numbers \(NaN\): its weights are damaged"):
        VERBS[verb](model)
