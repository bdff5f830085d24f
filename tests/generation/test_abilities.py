"""What a family cannot do is refused with what it can."""

import pytest

from zoo.errors import ZooError
from zoo.generation.abilities import ABILITIES, require
from zoo.models import ModelConfig
from zoo.pretrained import Pretrained


def test_every_family_has_methods() -> None:
    assert set(ABILITIES) == set(ModelConfig.choices)
    for abilities in ABILITIES.values():
        assert all(callable(getattr(Pretrained, name)) for name in abilities)


def test_a_refusal_says_what_to_do_instead() -> None:
    for kind, abilities in ABILITIES.items():
        for ability in abilities:
            require(kind, ability)
    with pytest.raises(
        ZooError, match=r"model 'decoder' cannot fill; use generate or score, or model.embed\(…\) in Pyth"
    ):
        require("decoder", "fill")
    with pytest.raises(ZooError, match="cannot fly; it takes and gives tensors, or load"):
        require("bird", "fly")
