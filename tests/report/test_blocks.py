"""A model as blocks."""

from xml.etree.ElementTree import Element

import pytest

from zoo.models.anatomy import empty_model
from zoo.models.create import model_config
from zoo.models.presets import PRESETS
from zoo.report.blocks import draw_model


def drawn(preset: str, **changes) -> Element:
    return draw_model(empty_model(model_config(preset, **changes)))


def words(node: Element) -> str:
    return " ".join(node.itertext())


def of_kind(node: Element, kind: str) -> list[Element]:
    return [child for child in node.iter("div") if kind in (child.get("class") or "").split()]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_named_size_is_drawn(preset: str) -> None:
    config = model_config(preset)
    figure = draw_model(empty_model(config))
    layers = sum(side.stack.num_layers for side in config.sides())
    times = [int(span.find("b").text.removeprefix("× ")) for span in figure.iter("span") if span.get("class") == "of"]
    assert sum(times) == layers
    assert len(of_kind(figure, "head")) == len(config.heads)


def test_layers_that_are_alike_are_one_block() -> None:
    figure = drawn("bert-base")
    (block,) = of_kind(figure, "block")
    assert "× 12" in words(block)
    assert "0–11" in words(block)


def test_layers_that_differ_are_two() -> None:
    figure = drawn("gpt-nano", num_layers=4, layers={"1::2": {"attention": {"window": 8}}})
    first, second = of_kind(figure, "block")
    assert "window" not in words(first)
    assert "window 8" in words(second)


@pytest.mark.parametrize(
    "placement, kinds",
    [
        ("pre", ["before", "before", "at the end"]),
        ("post", ["after the sum", "after the sum"]),
        ("sandwich", ["before", "after", "before", "after", "at the end"]),
        ("branch_output", ["after", "after", "at the end"]),
        ("none", []),
    ],
)
def test_norms_stand_where_they_are(placement: str, kinds: list[str]) -> None:
    norms = of_kind(drawn("gpt-nano", placement=placement, num_layers=3), "norm")
    assert [norm.find("span").text for norm in norms] == kinds


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"positions": {"kind": "rotary"}}, "rotary positions turn queries and keys"),
        ({"positions": {"kind": "alibi"}}, "alibi positions bias the scores"),
        ({"positions": {"kind": "learned"}}, "+ learned positions"),
        ({"positions": {"kind": "none"}}, "no positions"),
        ({"num_kv_heads": 1}, "1 for keys and values"),
        ({"attention": {"cap": 30.0}}, "cap=30.0"),
        ({"attention": {"query_bias": False, "output_bias": False}}, "no bias of output, query"),
        ({"attention": {"kind": "latent"}}, "latent"),
        ({"residual": {"kind": "rezero"}}, "rezero"),
        ({"block": {"kind": "parallel"}}, "before"),
        ({"sharing": {"kind": "all"}}, "1 block(s) of weights"),
        ({"dropout": {"residual": 0.1}}, "dropout 0.1"),
    ],
    ids=str,
)
def test_what_is_live_is_said(changes: dict, said: str) -> None:
    assert said in words(drawn("gpt-nano", **changes))


def test_encoder_decoder_has_two_sides() -> None:
    figure = drawn("t5-nano")
    encoder, decoder = of_kind(figure, "side")
    assert "cross-attention" not in words(encoder)
    assert "cross-attention" in words(decoder)
    assert "sees both ways" in words(encoder)
    assert "sees the past" in words(decoder)
