"""A row as text."""

from typing import Any

import pytest
import torch

from tests.data.synthetic import SyntheticTokenizer
from zoo.batch import IGNORE_INDEX, Batch
from zoo.cli.row_text import LEGENDS, legend, row_table, sides_of
from zoo.objectives.mixture import Part
from zoo.tokenizer.train import ByteLevelBPEConfig, TokenizerConfig, UnigramConfig, WordPieceConfig


class Spelling(SyntheticTokenizer):
    """Pieces are spelt as their numbers."""

    def token(self, id: int) -> str:
        return f"Ġ{id}" if id % 2 else str(id)


def part(labels: dict[str, list], **inputs: list[int]) -> Part:
    tensors = {name: torch.tensor([values]) for name, values in inputs.items()}
    return Part(tuple(labels), Batch(tensors, {name: torch.tensor([label]) for name, label in labels.items()}))


def lines(shown: Part, kind: str, tokenizer: Any) -> list[tuple[str, str]]:
    if isinstance(tokenizer, str):
        tokenizer = Spelling(tokenizer)
    table = row_table(shown, sides_of(shown, kind), tokenizer)
    names, pieces = (list(column.cells) for column in table.columns)
    return [(str(name), str(piece)) for name, piece in zip(names, pieces, strict=True)][:-1]


NO = IGNORE_INDEX


def test_an_encoder_shows_targets_in_place() -> None:
    row = part(
        {"masked_lm": [NO, 11, 12, 13, NO, NO], "next_sentence": 1},
        tokens=[2, 4, 50, 13, 3, 0],
        documents=[0, 0, 0, 0, 0, -1],
        segments=[0, 0, 0, 1, 1, 0],
    )
    assert lines(row, "encoder", "bert") == [
        ("document 1 A", "2 4→·11 50→12"),
        ("document 1 B", "·13→·13 ·3"),
        ("padding", "1 place"),
        ("next_sentence", "B is from another document"),
    ]


def test_a_decoder_shows_what_does_not_stand_beside() -> None:
    row = part(
        {"causal_lm": [12, 0, NO, 22, 24]},
        tokens=[10, 12, 0, 20, 22],
        documents=[0, 0, 0, 1, 1],
    )
    assert lines(row, "decoder", "gpt") == [("document 1", "10 12 0→∅"), ("document 2", "20 22→24")]


def test_what_a_batch_leaves_out_is_one_document() -> None:
    assert lines(part({"causal_lm": [12, 14]}, tokens=[10, 12]), "decoder", "gpt") == [("document 1", "10 12→14")]


def test_a_decoder_beside_an_encoder() -> None:
    row = part(
        {"span_corruption": [998, 20, 1]},
        tokens=[10, 998, 1],
        documents=[0, 0, 0],
        decoder_tokens=[0, 998, 20],
        decoder_documents=[0, 0, 0],
    )
    assert lines(row, "encoder_decoder", "t5") == [
        ("encoder document 1", "10 998 ·1"),
        ("decoder document 1", "0 998 20→·1"),
    ]


@pytest.mark.parametrize("way", LEGENDS)
def test_the_legend_says_what_the_signs_mean(way: str) -> None:
    assert all(words in legend([way]).plain for _, words in LEGENDS[way])


@pytest.mark.parametrize(
    "kind",
    [ByteLevelBPEConfig(vocab_size=300), UnigramConfig(vocab_size=150), WordPieceConfig(vocab_size=60)],
    ids=lambda kind: kind.kind,
)
def test_bytes_are_shown_as_the_text_that_they_are(kind: TokenizerConfig) -> None:
    texts = ["the caf\u00e9 \u2014 the caf\u00e9 \u2014 \u6f22"] * 20
    tokenizer = kind.train(texts)
    tokens = tokenizer.encode(texts[0]).tolist()
    row = part({"causal_lm": [NO] * len(tokens)}, tokens=tokens)
    ((_, shown),) = lines(row, "decoder", tokenizer)
    assert "\u2014" in shown
    assert "\u00e2" not in shown, "no signs for bytes"
