"""Models small enough to be tried in every combination, in float64."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tests.generation.vocabularies import tokenizer_of
from zoo.generation.history import History
from zoo.models import Model
from zoo.models.create import create_model
from zoo.pretrained import Pretrained

VOCAB_SIZE = 23
PADDING = 0
VOCABULARIES = {"encoder": "bert", "decoder": "bytes", "encoder_decoder": "t5"}


def tiny(kind: str, **changes: Any) -> Model:
    """A model of two layers whose weights are large enough that every part of it matters."""
    settings: dict[str, Any] = {
        "kind": kind,
        "dim": 16,
        "num_layers": 2,
        "num_heads": 4,
        "max_length": 24,
        "vocab_size": VOCAB_SIZE,
        "heads": {"language_model": {"kind": "language_model", "tied": False}},
        "initialization": {"kind": "bert", "std": 0.3},
    }
    return create_model({**settings, **changes}, seed=1).double().eval()


def pretrained(kind: str, vocabulary: str | None = None, **changes: Any) -> Pretrained:
    """A tiny model with a tokenizer of its family."""
    tokenizer = tokenizer_of(vocabulary or VOCABULARIES[kind])
    return Pretrained(tiny(kind, vocab_size=tokenizer.vocab_size, **changes).float(), tokenizer)


def prompts_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Random prompts without the padding token."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(1, VOCAB_SIZE, (length,), generator=generator).tolist() for length in lengths]


def greedy(logits_BV: Tensor, _: History | None = None) -> Tensor:
    """(B,) the most likely token of each row."""
    return logits_BV.argmax(dim=-1)


def row(tokens: Sequence[int]) -> Tensor:
    """(1, T) tokens."""
    return torch.tensor([list(tokens)])
