"""The tables themselves: closed and consistent."""

import pytest
from transformers import AutoConfig

from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, read_config
from zoo.interop.base import HARMLESS, Field, under, variant, with_one_name
from zoo.interop.layouts import Stacked


def test_every_table_is_registered_under_its_name() -> None:
    assert all(table.name == name for name, table in ARCHITECTURES.items())


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_a_field_is_read_or_required_or_harmless_but_only_one_of_them(name: str) -> None:
    table = ARCHITECTURES[name]
    read = {field.name for field in table.fields}
    together = [name for group in table.together for name in group.names]
    read |= {*together}
    assert len(read) == len(table.fields) + len(together)
    assert not read & set(table.required)
    assert not set(table.required) & table.harmless
    assert read & table.harmless <= {"initializer_range", "initializer_factor"}
    assert table.harmless >= HARMLESS


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_defaults_alone_make_a_model(name: str) -> None:
    assert read_config(name, {}) == read_config(name, {"model_type": name})


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_another_name_of_a_number_is_taken_for_it_or_refused(name: str) -> None:
    """transformers' `attribute_map` sets one field by another: none of these may be thought to change nothing."""
    for other, field in AutoConfig.for_model(name).attribute_map.items():
        if field in ARCHITECTURES[name].harmless:
            assert other in ARCHITECTURES[name].harmless
            continue
        with pytest.raises(ConfigError) as caught:
            read_config(name, {other: 32, field: 16})
        assert caught.value.key == other
        if "not known" not in str(caught.value):
            assert field in str(caught.value)
            assert read_config(name, {other: 32}) == read_config(name, {field: 32})


def test_two_names_of_one_number() -> None:
    assert with_one_name({"old": 3, "name": 3, "other": 1}, {"old": "name"}) == {"name": 3, "other": 1}
    assert with_one_name({"old": 3}, {"old": "name", "older": "name"}) == {"name": 3}
    with pytest.raises(ConfigError, match=r"^old: 3 contradicts name=2; they are two names of one number$"):
        with_one_name({"old": 3, "name": 2}, {"old": "name"})


def test_unknown_architecture() -> None:
    with pytest.raises(ConfigError, match=r"unknown architecture 'gpt-2'; did you mean 'gpt2'\?"):
        read_config("gpt-2", {})


def test_rules_under_a_module() -> None:
    layout = Stacked(transposed=True)
    (rule,) = under("h.{layer}", "blocks.{layer}", {"mlp.c_fc": "feed_forward.input"}, layout)
    assert rule == ("h.{layer}.mlp.c_fc", ("blocks.{layer}.feed_forward.input",), layout, (), False)


def test_fields_of_a_relative() -> None:
    fields = (Field("a", ("dim",), 1), Field("b", ("num_layers",), 2), Field("c", ("num_heads",), 3))
    found = variant(fields, {"a": 5}, Field("b", ("head_dim",), 7), without=("c",))
    assert found == (Field("a", ("dim",), 5), Field("b", ("head_dim",), 7))
    with pytest.raises(AssertionError, match="'d'"):
        variant(fields, {"d": 1})
