"""Counts of named encoders by hand, of the parts that a paper's table names."""

from zoo.models.create import model_config
from zoo.models.presets import PRESETS


def test_bert_base_by_hand() -> None:
    d, layers, vocab = 768, 12, 30522
    layer = 4 * (d * d + d) + 2 * 4 * d * d + 5 * d + 4 * d
    heads = (d * d + d) + 2 * d + vocab + (d * d + d) + 2 * (d + 1)
    assert PRESETS["bert-base"].parameters == (vocab + 512 + 2) * d + 2 * d + layers * layer + heads


def test_roberta_differs_from_bert_in_tables_and_head() -> None:
    d = 768
    bert, roberta = PRESETS["bert-base"].parameters, PRESETS["roberta-base"].parameters
    next_sentence = d * d + d + 2 * (d + 1)
    assert roberta - bert == (50265 - 30522) * (d + 1) + (2 - 1) * d - next_sentence


def test_albert_by_hand() -> None:
    """One layer, whatever their number, and a table of width 128."""
    d, e, vocab = 768, 128, 30_000
    tables = (vocab + 512 + 2) * e + 2 * e + e * d + d
    layer = 4 * (d * d + d) + 2 * 4 * d * d + 5 * d + 4 * d
    heads = (d * e + e) + 2 * e + vocab + (d * d + d) + 2 * (d + 1)
    assert PRESETS["albert-base"].parameters == tables + layer + heads


def test_modernbert_layers() -> None:
    layers = model_config("modernbert-base").layer_configs()
    assert [layer.attention.window for layer in layers[:7]] == [None, 64, 64, None, 64, 64, None]
    assert [layer.positions.theta for layer in layers[:4]] == [160_000.0, 10_000.0, 10_000.0, 160_000.0]
    assert [layer.attention_placement for layer in layers[:3]] == ["none", None, None]
