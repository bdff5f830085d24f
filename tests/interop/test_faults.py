"""Everything that is wrong with a foreign config is told at once, by its names, and as an error of ours."""

from typing import Any

import pytest

from zoo.config import to_mapping
from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, read_config
from zoo.interop.faults import MOST_TOLD, find_slot

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


@pytest.mark.parametrize("architecture", [*dict(ARCHITECTURES.items())])
def test_the_type_of_every_field_is_known(architecture: str) -> None:
    ours = to_mapping(read_config(architecture, {}))
    for field in ARCHITECTURES[architecture].fields:
        for path in field.ours if field.values is None else ():
            if not path.startswith("heads.") or path.split(".")[1] in ours["heads"]:
                assert find_slot(path, ours) is not None, path
