"""Settings of earlier versions are told what they are called now; others, which name is nearest."""

import dataclasses
from collections.abc import Iterator

import pytest

from zoo import unknown_settings as module
from zoo.config import Config, build
from zoo.data.sources import SourceConfig
from zoo.errors import ConfigError
from zoo.heads.pooler import PoolerConfig
from zoo.models.base import ModelConfig
from zoo.nn.positions.base import PositionsConfig
from zoo.nn.query_key_norm import QueryKeyNormConfig
from zoo.nn.residual_sum import ResidualConfig
from zoo.training.config import RunConfig
from zoo.training.optimizers import OptimizerConfig
from zoo.unknown_settings import RENAMED, renamed, unknown_key


def classes_below(base: type) -> Iterator[type]:
    for child in base.__subclasses__():
        yield child
        yield from classes_below(child)


def test_each_row_is_of_a_config_that_has_no_such_setting_any_more() -> None:
    assert issubclass(RunConfig, Config)  # its import brings all others
    known = {one.__name__: one for one in classes_below(Config)}
    assert len(RENAMED) >= 4
    for owner, name in RENAMED:
        assert owner in known, f"{owner} is gone; so can its row be"
        assert name not in [field.name for field in dataclasses.fields(known[owner])]
        assert name not in getattr(known[owner], "choices", {})


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (
            ModelConfig,
            {"kind": "encoder_decoder", "num_decoder_layers": 2},
            r"num_decoder_layers: .* of an earlier version .*; write model\.decoder\.num_layers=2",
        ),
        (ResidualConfig, {"kind": "off"}, "kind: 'off' is .* of an earlier version .*; write none"),
        (ResidualConfig, False, "False is .* of an earlier version .*; write none"),
        (QueryKeyNormConfig, "l2_norm", r"write query_key_norm\.norm=l2_norm \(query_key_norm: \{norm: l2_norm\}\)"),
        (ResidualConfig, {"kind": "plane"}, "did you mean 'plain'"),
        (
            SourceConfig,
            {"kind": "stdlib", "path": "x"},
            r"stdlib source key 'path'; it goes with kinds .*; say kind=text too",
        ),
        (OptimizerConfig, {"kind": "adamw", "lr": 1}, "key 'lr'; did you mean 'learning_rate'"),
        (PositionsConfig, "rope", "'rope'; did you mean 'rotary'"),
        (PoolerConfig, {"kind": "pooler", "pooling": "cls"}, "'cls' is not one of .*; did you mean 'first'"),
        (QueryKeyNormConfig, {"norn": "l2_norm"}, r"norn: unknown key 'norn'; did you mean 'norm'\?"),
    ],
)
def test_what_is_told(schema: type, value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(schema, value)


def test_a_row_makes_a_key_known_as_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.RENAMED, ("QueryKeyNormConfig", "across"), "write over={value}")
    assert unknown_key(QueryKeyNormConfig, "across", "head", ["norm", "over"]).reason.endswith("; write over=head")
    assert renamed(QueryKeyNormConfig, ["across"], None) is None
    assert renamed(ResidualConfig, "across", None) is None
