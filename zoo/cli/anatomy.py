"""What a model is made of, as rows of tables. The model has shapes and no data, so any size is described at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import torch
from torch import nn

from zoo.models import Model, ModelConfig
from zoo.models.base import SelfBackbone
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.models.flops import RowShape, active_parameters, training_flops
from zoo.nn.block import SequentialBlockConfig
from zoo.nn.layer import LayerConfig
from zoo.nn.residual import Branch
from zoo.nn.stack import Stack, StackConfig
from zoo.training.progress import short_number

BLOCKS = "blocks"
SLOTS = {"before": "before", "after": "after", "outer": "after the sum"}
"""Where the norms of a residual branch stand, in words."""


def empty_model(config: ModelConfig) -> Model:
    """The model without data."""
    with torch.device("meta"):
        return config.build_unset()


# ---------------------------------------------------------------------------------------------------------------- parts


def part_rows(model: Model) -> list[tuple[str, int, str]]:
    """(part, parameters, share of all) as an indented tree, the total last.

    The blocks of a stack are added up. What is shared counts where it comes first, so a tied output layer counts 0.
    """
    counts: dict[tuple[str, ...], int] = {}
    layers: dict[tuple[str, ...], set[str]] = {}
    for name, parameter in model.named_parameters():
        part, layer = place(name)
        for depth in range(1, len(part) + 1):
            counts[part[:depth]] = counts.get(part[:depth], 0) + parameter.numel()
        if layer:
            layers.setdefault(part[: part.index(BLOCKS) + 1], set()).add(layer)
    if model.heads:
        counts.setdefault(("heads",), 0)
    for head in model.heads:
        counts.setdefault(("heads", head), 0)
    rows = []
    for part, count in _in_order(counts):
        times = f" × {len(layers[part])}" if part in layers else ""
        share = f"{100 * count / model.num_parameters:.1f} %"
        rows.append((f"{'  ' * (len(part) - 1)}{part[-1]}{times}", count, share))
    return [*rows, ("total", model.num_parameters, "100.0 %")]


def place(name: str) -> tuple[tuple[str, ...], str]:
    """Which part a parameter belongs to, and the number of its layer, "" outside the blocks.

    `backbone.stack.blocks.3.feed_forward.sublayer.input.weight` → (stack, blocks, feed_forward), 3.
    """
    words = name.removeprefix("backbone.").split(".")[:-1]
    layer = next((word for word, group in zip(words[1:], words, strict=False) if group == BLOCKS), "")
    path = [word for word in words if not word.isdecimal()]
    return tuple(path[: 3 if BLOCKS in path[:2] else 2]), layer


def _in_order(counts: dict[tuple[str, ...], int]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Each part behind the one that it belongs to, else in the order of the model."""
    order = {part: number for number, part in enumerate(counts)}
    yield from sorted(counts.items(), key=lambda item: [order[item[0][:depth]] for depth in range(1, len(item[0]) + 1)])


# --------------------------------------------------------------------------------------------------------------- layers


def layer_rows(model: Model) -> list[tuple[str, str, str]]:
    """(layers, part, what is in it), layers that are alike together."""
    rows = []
    for name, stack in stacks(model).items():
        config = stack.config
        rows.append((name, "positions", f"{config.positions.kind}, up to {config.max_length}"))
        if len(stack.blocks) < config.num_layers:
            order = " ".join(str(number + 1) for number in stack.order)
            rows.append((name, "weights", f"shared ({config.sharing.kind}): layers run blocks {order}"))
        number = 1
        layers = zip(stack.order, config.layer_configs(), strict=True)
        for (_, layer), group in groupby((repr(stack.blocks[block]), layer) for block, layer in layers):
            last = number + len(list(group)) - 1
            which = f"{name} {number}" if number == last else f"{name} {number}–{last}"
            block = stack.blocks[stack.order[number - 1]]
            rows += [(which, part, words) for part, words in _block_words(block, layer, config)]
            number = last + 1
        if not isinstance(stack.norm, nn.Identity):
            rows.append((f"{name} end", "norm", config.norm.kind))
    for head_name, head in model.config.heads.items():
        tied = getattr(head, "tied", None)
        words = {None: "", True: ", its weight is the token table", False: ", a weight of its own"}[tied]
        rows.append(("head", head_name, f"{head.kind}{words}"))
    return rows


def stacks(model: Model) -> dict[str, Stack]:
    """The stacks of a model by name."""
    backbone = model.backbone
    if isinstance(backbone, EncoderDecoder):
        return {"encoder": backbone.encoder, "decoder": backbone.decoder}
    assert isinstance(backbone, SelfBackbone)
    return {"layers": backbone.stack}


def _block_words(block: nn.Module, layer: LayerConfig, stack: StackConfig) -> Iterator[tuple[str, str]]:
    heads = layer.attention_heads
    grouped = f", {heads.num_kv_heads} for keys and values" if heads.num_kv_heads != heads.num_heads else ""
    window = "" if layer.attention.window is None else f", window {layer.attention.window}"
    positions = "" if layer.positions == stack.positions else f", positions {layer.positions.kind}"
    attention = f"{heads.num_heads} heads × {heads.head_dim}{grouped}, kernel {layer.attention.kernel}"
    words = {
        "self_attention": attention + window + positions,
        "cross_attention": attention,
    }
    if layer.block != stack.block or not isinstance(layer.block, SequentialBlockConfig):
        yield "block", layer.block.kind
    for name, branch in block.named_children():
        if isinstance(branch, Branch):
            inside = words.get(name) or branch.sublayer.extra_repr() or type(branch.sublayer).__name__
            yield name, inside + _branch_words(branch, block, layer)


def _branch_words(branch: Branch, block: nn.Module, layer: LayerConfig) -> str:
    """Norms and dropout of a residual branch; those of the block are around all of its branches."""
    none = nn.Identity()
    norms = [
        words
        for slot, words in SLOTS.items()
        if not all(isinstance(getattr(part, slot, none), nn.Identity) for part in (branch, block))
    ]
    dropout = f"; dropout {branch.dropout.p:g}" if isinstance(branch.dropout, nn.Dropout) else ""
    return (f"; {layer.norm.kind} {' and '.join(norms)}" if norms else "; no norm") + dropout


# ----------------------------------------------------------------------------------------------------------------- cost


def cost_rows(model: Model) -> list[tuple[str, str]]:
    """Floating-point operations of training on a token, and the size of the weights."""
    length = model.config.max_length
    decoder = stacks(model).get("decoder")
    decoder_length = 0 if decoder is None else decoder.config.max_length
    unscored = training_flops(model, RowShape(length, decoder_length, 0))
    scored = training_flops(model, RowShape(length, decoder_length, 1)) - unscored
    tokens = length + decoder_length
    row = f"{length} + {decoder_length}" if decoder_length else str(length)
    active = active_parameters(model)
    experts = [("parameters active for a token", f"{active:,}")] if active < model.num_parameters else []
    return [
        *experts,
        ("training FLOPs a token", f"{short_number(unscored / tokens)} in rows of {row}"),
        ("more for each scored token", short_number(scored)),
        ("weights in float32", f"{short_number(4 * model.num_parameters)}B"),
    ]
