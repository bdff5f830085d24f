"""Counts of named encoders by hand, of the parts that a paper's table names."""

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
