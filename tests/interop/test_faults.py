"""Everything that is wrong with a foreign config is told at once, by its names, and as an error of ours."""

from collections.abc import Iterator
from typing import Any

import pytest

from zoo.config import to_mapping
from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, faults, read_config
from zoo.interop.base import LABELS
from zoo.interop.faults import MOST_TOLD, find_slot
from zoo.interop.kinds import GROUPS, KINDS

BAD: list[Any] = [None, "x", -1, 0, 1.5, [1], {"a": 1}, 10**30, float("nan")]


def refused(architecture: str, **config: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(architecture, config)
    return str(caught.value)


def test_all_that_is_wrong_is_in_one_error() -> None:
    told = refused(
        "llama",
        architectures=["LlamaForMaskedLM"],
        hidden_act="mish",
        hidden_size="many",
        is_decoder=True,
        moe_layers=[1],
        num_attention_heads=0,
        rms_norm_eps=float("nan"),
        rope_scaling={"rope_type": "yarn", "factor": 2.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0},
    )
    assert told.splitlines()[0] == "8 fields of this llama are not covered:"
    for part in (
        "architectures: unknown class of llama 'LlamaForMaskedLM'",
        "hidden_act: 'mish' is not covered; it must be one of",
        "hidden_size: 'many' is not a whole number",
        "is_decoder: llama with True is not covered; it must be False",
        "moe_layers: llama has a field that is not known here",
        "num_attention_heads: 0 must be at least 1",
        "rms_norm_eps: nan is not a finite number",
        "low_freq_factor: 1.0 is not read where rope_type is 'yarn', nor is any of high_freq_factor",
    ):
        assert part in told


def test_one_fault_is_told_by_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("bert", {"hidden_size": 0})
    assert (caught.value.key, caught.value.reason) == ("hidden_size", "0 must be at least 1")


def test_what_contradicts_in_older_spellings_is_told_with_the_rest() -> None:
    told = refused("t5", is_gated_act=True, dense_act_fn="silu", d_kv="x")
    assert [line.strip().split(":")[0] for line in told.splitlines()[1:]] == ["is_gated_act", "dense_act_fn", "d_kv"]


def test_nothing_is_told_that_only_follows_from_another_fault() -> None:
    """The heads divide the width that was meant; the default in its place is nobody's mistake."""
    assert refused("bert", hidden_size="21", num_attention_heads=7) == "hidden_size: '21' is not a whole number"


def test_very_many_faults_and_very_long_ones_are_cut() -> None:
    told = refused("gpt2", **{f"field{number}": "x" * 10_000 for number in range(200)})
    assert len(told.splitlines()) == MOST_TOLD + 2
    assert f"and so are field{MOST_TOLD}, " in told
    assert told.endswith(" more")
    assert len(told) < 8000


@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_whatever_stands_in_a_field_the_error_is_ours(architecture: str) -> None:
    table = ARCHITECTURES[architecture]
    names = [field.name for field in table.fields] + [name for group in table.together for name in group.names]
    for bad in BAD:
        config: dict[str, Any] = {}
        for name in (*names, "architectures", "id2label", "num_labels"):
            group, _, last = name.rpartition(".")
            (config.setdefault(group, {}) if group and "." not in group else config)[last] = bad
        assert refused(architecture, **config)
        assert refused(architecture, unknown=bad, rope_scaling=bad)


def readings(architecture: str) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Each field that is read or that older files have, each thing that none may hold, and the config with both."""
    table = ARCHITECTURES[architecture]
    read = [field.name for field in table.fields] + [name for group in table.together for name in group.names]
    for name in dict.fromkeys(
        [*read, *(name.split(".")[0] for name in read), *KINDS, *GROUPS, *LABELS, "architectures"]
    ):
        for bad in BAD:
            groups = name.split(".")
            config = bad
            for group in reversed(groups):
                config = {group: config}
            if name.startswith("rope_parameters.") and groups[-1] not in ("rope_type", "factor"):
                config["rope_parameters"] |= {"rope_type": "yarn", "factor": 2.0}
            yield name, bad, config


def keys(error: ConfigError) -> list[str]:
    """The fields that an error names."""
    lines = str(error).splitlines()[1:]
    return [error.key] if error.key else [line.strip().split(": ")[0] for line in lines if "and so are" not in line]


def names_in(architecture: str) -> set[str]:
    """What fields of a foreign config are called, without what stands in them."""
    table = ARCHITECTURES[architecture]
    read = [field.name for field in table.fields] + [name for group in table.together for name in group.names]
    return {name.split(".")[0] for name in (*read, *table.required, *KINDS, *GROUPS, *LABELS, "architectures")}


def assert_nothing_is_computed_with_nonsense(architecture: str, step: int, patch: pytest.MonkeyPatch) -> None:
    """Without the net for what arithmetic raises, each reading is a model or an error of ours, by their names."""
    patch.setattr(faults, "UNREADABLE", ())
    for name, bad, config in [*readings(architecture)][::step]:
        try:
            read_config(architecture, config)
        except ConfigError as error:
            if {key.split(".")[0] for key in keys(error)} - names_in(architecture):
                pytest.fail(f"{name}={bad!r} is told by another name: {error}")
        except Exception as error:
            pytest.fail(f"{name}={bad!r}: {error!r}")


ONE_IN = 4
"""Of the readings; it has no factor in common with len(BAD), so that every field and every value has its turn."""


@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_no_field_is_computed_with_unchecked(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_nothing_is_computed_with_nonsense(architecture, ONE_IN, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_no_value_of_any_field_is_computed_with_unchecked(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_nothing_is_computed_with_nonsense(architecture, 1, monkeypatch)


@pytest.mark.parametrize(
    "architecture, config, told",
    [
        (
            "llama",
            {"rope_scaling": "x"},
            "rope_scaling: 'x' is no group of fields; it must be {name: value, …} or null",
        ),
        ("gemma2", {"query_pre_attn_scalar": 0}, "query_pre_attn_scalar: 0 must be above 0"),
        ("bart", {"architectures": 3}, "architectures: 3 is no list of classes"),
        ("gpt_neox", {"rotary_pct": "x"}, "rotary_pct: 'x' is not a number or null"),
        ("qwen3", {"rope_parameters": {"rope_type": [1]}}, "rope_parameters.rope_type: [1] is not text or null"),
    ],
)
def test_what_is_computed_with_is_told_by_its_name(architecture: str, config: dict[str, Any], told: str) -> None:
    assert refused(architecture, **config) == told


@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_the_type_of_every_field_is_known(architecture: str) -> None:
    ours = to_mapping(read_config(architecture, {}))
    for field in ARCHITECTURES[architecture].fields:
        for path in field.ours if field.values is None else ():
            if not path.startswith("heads.") or path.split(".")[1] in ours["heads"]:
                assert find_slot(path, ours) is not None, path


@pytest.mark.parametrize(
    "architecture, config, told",
    [
        ("llama", {"rope_scaling": {"type": "yarn", "factor": 2.0, "mscale": 0.0}}, "rope_scaling.mscale: 0.0 must be"),
        ("llama", {"rope_scaling": {"type": "linear"}}, "rope_scaling.factor: rope_type 'linear' needs it"),
        ("llama", {"rope_scaling": {"type": "su"}}, "rope_scaling.type: unknown rope_type 'su'"),
        ("llama", {"rope_theta": 0}, "rope_theta: 0 must be above 0"),
        ("gpt_neox", {"rotary_pct": 0.01}, "rotary_pct: 0 must be at least 2 (rotary_pct is positions.width here)"),
        ("albert", {"num_hidden_groups": 5}, "num_hidden_groups: 5 blocks cannot be shared"),
        ("deepseek_v3", {"n_routed_experts": 9}, "n_group: 8 does not divide num_experts=9"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 0}, "sliding_window: -1 must be at least 0"),
        (
            "roberta",
            {"architectures": ["RobertaForSequenceClassification"], "classifier_dropout": 1.5},
            "classifier_dropout: 1.5 must be below 1",
        ),
    ],
)
def test_what_our_own_config_refuses_is_told_by_their_name(
    architecture: str, config: dict[str, Any], told: str
) -> None:
    assert refused(architecture, **config).startswith(told)


@pytest.mark.parametrize(
    "contradiction, name",
    [
        ({"rope_scaling": {"type": "linear"}, "rope_parameters": {"type": "default"}}, "rope_scaling.rope_type"),
        ({"rope_scaling": {"type": "linear", "rope_type": "yarn", "factor": 2.0}}, "rope_scaling.type"),
        ({"rope_theta": 5.0, "rope_parameters": {"rope_theta": 6.0}}, "rope_theta"),
    ],
)
def test_a_contradiction_within_a_group_hides_nothing(contradiction: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("llama", {**contradiction, "mlp_bias": "no", "strange": 1})
    assert keys(caught.value) == [name, "strange", "mlp_bias"]


def test_a_number_that_is_read_in_a_group_is_told_with_the_rest() -> None:
    rope = {"rope_type": "yarn", "factor": 0.5, "beta_fast": "x", "mscale": 0.0, "mscale_all_dim": 1.0}
    with pytest.raises(ConfigError) as caught:
        read_config("llama", {"rope_parameters": rope, "strange": 1})
    assert keys(caught.value) == [
        "strange",
        "rope_parameters.factor",
        "rope_parameters.beta_fast",
        "rope_parameters.mscale",
    ]
