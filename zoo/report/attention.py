"""Where the heads of a trained model look: its attention weights on a few tokens of held-out text.

The weights are those of the plain kernel, which every other is held equal to. A kernel hands out no weights but
weighted sums of values; where the values are the rows of an identity matrix, the sums are the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.checkpoint.model import WEIGHTS_NAME, load_model
from zoo.errors import CheckpointError
from zoo.loading import model_folder
from zoo.models import Model
from zoo.models.anatomy import stacks
from zoo.nn.attend import KERNELS, Prepared, Scoring
from zoo.nn.attend.reference import ReferenceKernel
from zoo.nn.attention import Attention
from zoo.report.text import piece
from zoo.tokenizer.tokenizer import Tokenizer

MOST_LAYERS, MOST_HEADS = 4, 6
"""Of a stack that are shown: the first, the last, and some between."""


class Heads(NamedTuple):
    """The attention of one layer.

    Attributes:
        stack: its name. kind: self_attention or cross_attention. layer: its number from 0, of how many.
        numbers: of the heads that are shown, of how many.
        weights_HTS: (shown heads, T, S) from queries to keys.
        queries, keys: T and S pieces of text.
    """

    stack: str
    kind: str
    layer: int
    num_layers: int
    numbers: list[int]
    num_heads: int
    weights_HTS: np.ndarray
    queries: list[str]
    keys: list[str]


class _WeightsKernel(ReferenceKernel):
    """The plain kernel, which also keeps the weights of each call."""

    def __init__(self) -> None:
        self.kept: list[Tensor] = []

    def attend(self, q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, prepared: Prepared, scoring: Scoring) -> Tensor:
        """Outputs; the weights come from one more call, with the identity for values."""
        length = k_BGSK.shape[2]
        identity_BGSS = torch.eye(length, dtype=q_BHTK.dtype).expand(*k_BGSK.shape[:2], length, length)
        self.kept.append(super().attend(q_BHTK, k_BGSK, identity_BGSS, prepared, scoring)[0])
        return super().attend(q_BHTK, k_BGSK, v_BGSK, prepared, scoring)


def attention_of(run: Path, excerpt: Sequence[int], most_bytes: int | None = None) -> list[Heads]:
    """The attention of a run's newest checkpoint on some tokens.

    Args:
        run: the run folder.
        excerpt: tokens of a text, without special ones.
        most_bytes: weights of more than that are not loaded; None: any are.

    Raises:
        CheckpointError: there is no checkpoint that is whole, or it is too large. ConfigError: it needs own blocks.
    """
    folder = model_folder(run)
    size = (folder / WEIGHTS_NAME).stat().st_size
    if most_bytes is not None and size > most_bytes:
        raise CheckpointError(
            f"the weights have {size / 1e9:.1f} GB, which the end of a run does not wait for; zoo report {run} draws it"
        )
    model, tokenizer = load_model(folder, device="cpu")
    if tokenizer is None:
        raise CheckpointError(f"{folder} has no tokenizer")
    return attention_heads(model.float(), tokenizer, excerpt)


@torch.no_grad()
def attention_heads(model: Model, tokenizer: Tokenizer, excerpt: Sequence[int]) -> list[Heads]:
    """The attention of some layers and heads on some tokens, laid out as the family reads them.

    Args:
        model: on the CPU; its stacks compute with the plain kernel from then on.
        tokenizer: of the model. excerpt: tokens of a text, without special ones.
    """
    inputs = _inputs(model.config.kind, tokenizer, list(excerpt))
    kernel = _WeightsKernel()
    called: list[tuple[str, str]] = []
    handles = []
    for name, stack in stacks(model).items():
        stack.kernel = lambda name: KERNELS[ReferenceKernel.name]  # type: ignore[method-assign]
        for path, module in stack.named_modules():
            if isinstance(module, Attention):
                kind = "cross_attention" if "cross_attention" in path.split(".") else "self_attention"
                handles.append(module.register_forward_pre_hook(_hook(kernel, called, (name, kind))))
    try:
        model.eval().backbone(**{name: torch.tensor([tokens]) for name, tokens in inputs.items()})
    finally:
        for handle in handles:
            handle.remove()
    pieces = {name: [piece(tokenizer, id) for id in tokens] for name, tokens in inputs.items()}
    return _shown(called, kernel.kept, pieces)


def _hook(kernel: _WeightsKernel, called: list[tuple[str, str]], place: tuple[str, str]) -> Any:
    """Puts the kernel into the context of a call, and notes whose call it is."""

    def before(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, context, *rest = arguments
        called.append(place)
        return (hidden, context._replace(kernel=kernel), *rest)

    return before


def _inputs(kind: str, tokenizer: Tokenizer, excerpt: list[int]) -> dict[str, list[int]]:
    """The excerpt as in training: framed for an encoder, with a blank to fill for an encoder-decoder."""
    roles = tokenizer.roles
    if kind == "encoder_decoder" and tokenizer.sentinels:
        start, stop = len(excerpt) // 3, max(len(excerpt) // 2, len(excerpt) // 3 + 1)
        blank, end = tokenizer.sentinels[0], [roles["end"]] if "end" in roles else []
        return {
            "tokens": [*excerpt[:start], blank, *excerpt[stop:], *end],
            "decoder_tokens": [roles.get("padding", 0), blank, *excerpt[start:stop]],
        }
    if kind == "encoder_decoder":
        return {"tokens": excerpt, "decoder_tokens": excerpt}
    front = [roles[role] for role in ("classify", "begin") if role in roles][:1]
    behind = [roles["separate"]] if kind == "encoder" and "separate" in roles else []
    return {"tokens": [*front, *excerpt, *behind]}


def _shown(called: list[tuple[str, str]], kept: list[Tensor], pieces: dict[str, list[str]]) -> list[Heads]:
    """Some layers and heads of each stack."""
    found = []
    for place in dict.fromkeys(called):
        stack, kind = place
        weights = [each for whose, each in zip(called, kept, strict=True) if whose == place]
        queries = pieces["decoder_tokens" if stack == "decoder" else "tokens"]
        keys = pieces["tokens"] if kind == "cross_attention" else queries
        for layer in some(len(weights), MOST_LAYERS):
            heads = some(len(weights[layer]), MOST_HEADS)
            shown = weights[layer][heads].numpy()
            found.append(Heads(stack, kind, layer, len(weights), heads, len(weights[layer]), shown, queries, keys))
    return found


def some(count: int, most: int) -> list[int]:
    """Numbers from 0 to count − 1, at most so many, evenly spread: the first and the last are among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]
