"""Which weights decay, which rate each has, and what a pattern of names may be."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.training.optimizers.models import SIZE, model
from tests.training.tiny import newest, same, tiny_run, weights
from zoo.checkpoint.tensors import load_tree
from zoo.errors import ConfigError
from zoo.models.create import create_model
from zoo.nn.linear import Linear
from zoo.training.optimizers import AdamWConfig, OptimizerConfig, PartConfig
from zoo.training.optimizers.groups import (
    group_rows,
    layers_above,
    nearest,
    parameter_groups,
    parts_of,
    update_rows,
)
from zoo.training.run import pretrain


@pytest.mark.parametrize("name", ["bert-nano", "gpt-nano", "llama-nano", "t5-nano"])
@pytest.mark.parametrize("tied", [True, False])
def test_only_projections_decay(name: str, tied: bool) -> None:
    made = create_model(
        name, dim=16, num_heads=2, num_kv_heads=1, num_layers=1, heads={"language_model": {"tied": tied}}
    )
    decaying, resting = (set(map(id, group["params"])) for group in parameter_groups(made, 0.1))
    assert not decaying & resting
    assert decaying | resting == {id(p) for p in made.parameters()}
    tables = {id(module.weight) for module in made.modules() if isinstance(module, nn.Embedding)}
    assert tables
    for place, parameter in made.named_parameters():
        assert (id(parameter) in decaying) == (parameter.ndim == 2 and id(parameter) not in tables), place
    assert decaying


def test_tied_output_layer_does_not_decay() -> None:
    made = create_model("gpt-nano")
    _, resting = parameter_groups(made, 0.1)
    assert any(parameter is made.backbone.tokens.weight for parameter in resting["params"])
    assert [group["weight_decay"] for group in parameter_groups(made, 0.1)] == [0.1, 0.0]


MUP = {
    "attention": {"scale": "inverse"},
    "heads": {"language_model": {"tied": False}},
    "initialization": {"kind": "mup", "base_dim": 16},
}


def test_groups_carry_the_factors_of_the_initialization() -> None:
    """muP: base_dim / fan-in for matrices, whose decay is divided by it; 1 for everything else."""
    made = create_model("gpt-nano", dim=32, feed_forward_dim=64, **MUP)
    groups = parameter_groups(made, 0.1, made.config.initialization)
    found = [(group["rate_factor"], group["weight_decay"]) for group in groups]
    assert found == [(0.5, 0.2), (0.25, 0.4), (1.0, 0.0)]
    named = {parameter: name for name, parameter in made.named_parameters()}
    assert len(named) == sum(len(group["params"]) for group in groups)
    wide = {named[parameter] for parameter in groups[1]["params"]}
    assert wide == {name for name in named.values() if name.endswith("feed_forward.sublayer.output.weight")}
    assert {parameter.shape[1] for parameter in groups[0]["params"]} == {32}


def test_frozen_weights_are_left_out() -> None:
    made = create_model("gpt-nano")
    made.backbone.tokens.weight.requires_grad = False
    assert sum(len(group["params"]) for group in parameter_groups(made, 0.1)) == len(list(made.parameters())) - 1


# ----------------------------------------------------------------------------------------------------- parts by pattern


def settings_by_name(made: nn.Module, **options: Any) -> dict[str, tuple[float, float]]:
    """(factor on the learning rate, decay) of each parameter."""
    names = {parameter: name for name, parameter in made.named_parameters()}
    groups = parameter_groups(made, 0.1, **options)
    return {names[p]: (group["rate_factor"], group["weight_decay"]) for group in groups for p in group["params"]}


def test_a_part_has_its_own_rate_and_decay() -> None:
    made = model()
    plain = settings_by_name(made)
    parts = {
        "head": PartConfig(match=("heads.*",), rate=10.0),
        "norms": PartConfig(match=("*.before.*",), rate=0.5, weight_decay=0.3),
    }
    names = [name for name in plain if ".before." in name]
    assert names
    found = settings_by_name(made, parts=parts)
    for name, (rate, decay) in found.items():
        if name.startswith("heads."):
            assert (rate, decay) == (10.0, plain[name][1])
        elif name in names:
            assert (rate, decay) == (0.5, 0.3)
        else:
            assert (rate, decay) == plain[name]


def test_factors_multiply() -> None:
    """Initialization × part × layers; only the first divides the decay, which is to stay what it is under muP."""
    made = create_model("gpt-nano", **{**SIZE, **MUP, "dim": 32})
    part = {"all": PartConfig(match=("*",), rate=3.0)}
    options = {"initialization": made.config.initialization}
    plain, found = settings_by_name(made, **options), settings_by_name(made, parts=part, layer_decay=0.5, **options)
    distances = {name: layers_above(made)[parameter] for name, parameter in made.named_parameters()}
    for name, (rate, decay) in found.items():
        assert rate == pytest.approx(plain[name][0] * 3.0 * 0.5 ** distances[name])
        assert decay == plain[name][1]


NAMES = [
    "backbone.embedding.tokens.weight",
    "backbone.stack.blocks.0.feed_forward.sublayer.output.weight",
    "backbone.stack.blocks.1.feed_forward.sublayer.output.weight",
    "backbone.stack.norm.weight",
    "heads.language_model.output.weight",
]


@pytest.mark.parametrize(
    "pattern, matched",
    [
        ("heads.*", [4]),
        ("*.blocks.[0-3].*", [1, 2]),
        ("*.blocks.?.*", [1, 2]),
        ("*.blocks.[!0].*", [2]),
        ("*.weight", [0, 1, 2, 3, 4]),
        ("backbone.stack.norm.weight", [3]),
    ],
)
def test_globs(pattern: str, matched: list[int]) -> None:
    found = parts_of(NAMES, {"one": PartConfig(match=(pattern,), rate=2.0)})
    assert sorted(found) == sorted(NAMES[index] for index in matched)


@pytest.mark.parametrize(
    "pattern, near",
    [
        ("*embeding*", 0),
        ("backbone.layers.1.feed_forward.*.output.weight", 2),
        ("head.language_model.*", 4),
        ("Heads.*", 4),
        ("stack.norm", 3),
    ],
)
def test_pattern_without_a_match_names_the_nearest(pattern: str, near: int) -> None:
    assert nearest(pattern, NAMES)[0] == NAMES[near]
    with pytest.raises(ConfigError, match=rf"^parts\.one\.match\.1: .*{re.escape(NAMES[near])}"):
        parts_of(NAMES, {"one": PartConfig(match=("heads.*", pattern), rate=2.0)})


def test_a_parameter_has_one_part() -> None:
    parts = {"one": PartConfig(match=("heads.*",), rate=2.0), "two": PartConfig(match=("*.weight",), rate=3.0)}
    with pytest.raises(ConfigError, match=r"^parts\.two\.match\.0: .*matches heads\.language_model.*parts\.one does"):
        parts_of(NAMES, parts)
    twice = {"one": PartConfig(match=("heads.*", "*.weight"), rate=2.0)}
    assert len(parts_of(NAMES, twice)) == len(NAMES)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"match": ()}, "match: has no pattern"),
        ({"match": ("*",)}, "rate: 1.0 changes nothing"),
        ({"match": ("*",), "rate": 0.0}, "rate: 0.0 must be above 0"),
        ({"match": ("*",), "weight_decay": -1.0}, "weight_decay: -1.0 must be at least 0"),
    ],
)
def test_part_that_makes_no_sense(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PartConfig(**fields)


def test_run_refuses_a_pattern_before_it_trains(tmp_path: Path) -> None:
    part = "optimizer.parts.head={match: [hads.*], rate: 2}"
    with pytest.raises(ConfigError, match=r"optimizer\.parts\.head\.match\.0: 'hads\.\*' matches no parameter"):
        pretrain(tiny_run(tmp_path, "bert", part), tmp_path / "run")
    pretrain(tiny_run(tmp_path, "bert", part.replace("hads", "heads")), tmp_path / "run")
    (state,) = load_tree(newest(tmp_path / "run"), "trainer")["optimizer_states"]
    assert {group["rate_factor"] for group in state["param_groups"]} == {1.0, 2.0}
    pretrain(tiny_run(tmp_path, "bert"), tmp_path / "plain")
    assert not same(weights(tmp_path / "run"), weights(tmp_path / "plain"))


# ------------------------------------------------------------------------------------------------------- layer by layer


def test_layers_count_down_from_the_output() -> None:
    made = model(num_layers=3)
    distances = {name: layers_above(made)[parameter] for name, parameter in made.named_parameters()}
    assert set(distances.values()) == {0, 1, 2, 3, 4}
    for name, distance in distances.items():
        layer = re.search(r"\.blocks\.(\d+)\.", name)
        if layer:
            assert distance == 3 - int(layer[1])
        else:
            assert distance == (4 if ".embedding." in name or ".schemes." in name else 0), name


def test_a_tied_output_layer_is_the_embedding() -> None:
    made = create_model("gpt-nano", **SIZE)
    assert layers_above(made)[made.backbone.tokens.weight] == 3


def test_encoder_and_decoder_count_each_for_itself() -> None:
    made = create_model("t5-nano", **SIZE, head_dim=8, decoder={"num_layers": 3})
    named = {name: layers_above(made)[parameter] for name, parameter in made.named_parameters()}
    last = {side: {d for name, d in named.items() if f".{side}.blocks." in name} for side in ("encoder", "decoder")}
    assert last == {"encoder": {1, 2}, "decoder": {1, 2, 3}}
    assert layers_above(made)[made.backbone.tokens.weight] == 4


def test_layers_without_an_order_are_refused() -> None:
    with pytest.raises(ConfigError, match="layer_decay: the model has no layers"):
        layers_above(nn.Linear(2, 2))
    with pytest.raises(ConfigError, match=r"layer_decay: layers that share weights \(model.sharing=all\)"):
        layers_above(model(sharing="all"))


# --------------------------------------------------------------------------------------------------------- for a person


def test_rows_tell_every_parameter_once() -> None:
    with torch.device("meta"):
        made = model().config.build_unset()
    parts = {"head": PartConfig(match=("heads.*",), rate=10.0)}
    rows = group_rows(AdamWConfig(weight_decay=0.1, parts=parts).groups(made), made)
    assert sum(row.parameters for row in rows) == made.num_parameters
    assert [(row.rate, row.weight_decay) for row in rows] == [(10.0, 0.1), (1.0, 0.1), (1.0, 0.0)]
    assert rows[0].names == ["heads.language_model.output.weight"]
    assert "backbone.stack.blocks.*.feed_forward.sublayer.output.weight" in rows[1].names
    assert rows[1].tensors == sum(isinstance(module, Linear) for module in made.modules()) - 1


def test_rows_as_cells() -> None:
    made = model()
    config = OptimizerConfig.choice("muon")(learning_rate=0.02, adamw_rate=0.001)
    rows = update_rows(config.groups(made), made)
    assert [(rate, decay) for rate, decay, _, _ in rows] == [("0.02", "0.1"), ("0.001", "0.1"), ("0.001", "0")]
    assert sum(count for _, _, count, _ in rows) == made.num_parameters
    assert rows[1][3] == "adamw heads.language_model.output.weight"
    assert re.match(r"muon backbone\.stack\.blocks\.\*\.\S+ and \d more$", rows[0][3])
