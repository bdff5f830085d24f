"""One vector for each text: the hidden states of its tokens, pooled.

Of an encoder-decoder it is the encoder that reads the text. The special tokens around a text count as its tokens, and
a text that is longer than a model should read loses its end, as in sentence-transformers (Reimers & Gurevych 2019,
arXiv:1908.10084). A new way of pooling is a function and a row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zoo.errors import Collected, ConfigError, DataError, quoted
from zoo.generation.batching import batches_by_length
from zoo.generation.counts import check_count, check_flag, of_each
from zoo.generation.evaluation_mode import EvaluationMode
from zoo.generation.finite import check_numbers
from zoo.generation.prompts import frame_of
from zoo.generation.room import check_length, warn_past_length
from zoo.generation.running import padded
from zoo.models.base import Model
from zoo.registry import Registry
from zoo.tokenizer.tokenizer import Tokenizer

Pooling = Callable[[Tensor, Tensor], Tensor]
"""Hidden states (B, T, D) and which of them belong to the text (B, T) bool, padding on the right → (B, D)."""


def mean_of_all(hidden_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """The mean over the tokens of a text."""
    return (hidden_BTD * real_BT[..., None]).sum(dim=1) / real_BT.sum(dim=1, keepdim=True)


def first_of_all(hidden_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """The first token's, [CLS] of an encoder."""
    return hidden_BTD[:, 0]


def last_of_all(hidden_BTD: Tensor, real_BT: Tensor) -> Tensor:
    """The last token's, the only one of a decoder that has seen the whole text."""
    return hidden_BTD[torch.arange(len(hidden_BTD), device=hidden_BTD.device), real_BT.sum(dim=1) - 1]


POOLINGS: Registry[Pooling] = Registry("pooling", {"mean": mean_of_all, "first": first_of_all, "last": last_of_all})


def check_asked(pooling: object, normalize: object, prompt: object) -> None:
    """Raises ConfigError where what `Pretrained.embed` is asked for has another type: all of it at once."""
    wrong = Collected()
    if not isinstance(pooling, str):
        wrong.add(f"{quoted(pooling)} is no name; take one of {', '.join(POOLINGS)}", "pooling")
    with wrong.taken():
        check_flag(normalize, "normalize")
    if not isinstance(prompt, str):
        wrong.add(f"{quoted(prompt)} is not a text", "prompt")
    wrong.raise_any()


def rows_to_embed(kind: str, tokenizer: Tokenizer, texts: Sequence[str], max_length: int | None) -> list[list[int]]:
    """The ids of each text with the special tokens around it; those of an empty text may be none.

    A text of more than `max_length` ids, special ones included, loses what is too much at its end, with one warning
    that counts such texts.

    Raises:
        ConfigError: so few ids that the special ones leave no room. DataError: a text has characters that the tokenizer
            does not know.
    """
    if max_length is not None:
        check_count(max_length, "max_length")
    rows, lengths_cut = [], []
    for tokens in tokenizer.encode_batch(texts):
        before, after = frame_of(kind, tokenizer, tokens.tolist(), goes_on=False)
        length = len(before) + len(tokens) + len(after)
        if max_length is not None and length > max_length:
            room = max_length - len(before) - len(after)
            if room < 1:
                raise ConfigError(
                    f"{max_length} leaves no token to a text beside the {len(before) + len(after)} special ones; take "
                    "more",
                    "max_length",
                )
            tokens = tokens[:room]
            lengths_cut.append(length)
        rows.append([*before, *tokens.tolist(), *after])
    if lengths_cut:
        which = "the text has" if len(texts) == 1 else f"{len(lengths_cut)} of {len(texts)} texts have"
        warnings.warn(
            f"{which} more than the {max_length} tokens that embed reads of each (max_length), up to "
            f"{max(lengths_cut)}: the rest is left out",
            stacklevel=3,
        )
    return rows


@torch.no_grad()  # not inference mode: what comes back may be trained on
def embed(model: Model, rows: Sequence[Sequence[int]], padding: int, pooling: str, *, normalize: bool) -> Tensor:
    """(N, D) float32 (of a model in float64: float64): a vector for each row.

    Args:
        model: of any family.
        rows: ids of each text, framed.
        padding: id of places that hold nothing.
        pooling: a name in POOLINGS.
        normalize: whether each vector is divided by its length.

    Raises:
        ConfigError: an unknown pooling. DataError: a text is empty, or longer than the learned positions.
        ZooError: the weights give no numbers.
    """
    pool, backbone = POOLINGS[pooling], model.backbone
    stack = backbone.reading_stack
    of_each(rows, lambda row: _check_row(row, stack.positions.num_positions))
    warn_past_length(stack, max(map(len, rows), default=0))
    found = torch.zeros(len(rows), stack.config.dim, dtype=torch.promote_types(_dtype(model), torch.float32))
    device = backbone.tokens.weight.device
    for numbers in batches_by_length([len(row) for row in rows]):
        tokens, positions, documents = padded([rows[number] for number in numbers], padding, device, left=False)
        with EvaluationMode(model):
            hidden_BTD = backbone.read(tokens, positions, documents)
        real_BT = torch.ones_like(tokens, dtype=torch.bool) if documents is None else documents >= 0
        check_numbers(hidden_BTD[real_BT], "hidden states")
        found[numbers] = pool(hidden_BTD.to(found.dtype), real_BT).cpu()
    return torch.nn.functional.normalize(found, dim=-1) if normalize else found


def _check_row(row: Sequence[int], limit: int | None) -> None:
    if not row:
        raise DataError("the text is empty, so there is nothing to embed")
    check_length(len(row), limit)


def _dtype(model: Model) -> torch.dtype:
    return model.backbone.tokens.weight.dtype
