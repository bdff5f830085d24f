"""What a model is made of, as rows of tables. The model has shapes and no data, so any size is described at once."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import nn

from zoo.config import Config
from zoo.models import Model, ModelConfig
from zoo.models.base import SelfBackbone
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.models.flops import RowShape, active_parameters, training_flops
from zoo.nn.attend import KERNELS, Demand, explain
from zoo.nn.differential import DifferentialHeads
from zoo.nn.layer import LayerConfig
from zoo.nn.residual import Branch
from zoo.nn.stack import Stack, StackConfig
from zoo.quantity import short_number
from zoo.registry import Choice

BLOCKS = "blocks"
SLOTS = {"before": "before", "after": "after", "outer": "after the sum"}
"""Where the norms of a residual branch stand, in words."""
SHOWN = ("dim", "num_heads", "num_kv_heads", "head_dim", "feed_forward_dim", "max_length")
"""Settings of a layer that the words for its parts tell."""
SHOWN_OF_MODEL = ("vocab_size", "heads", "decoder")
"""Settings of a whole model that the words for its parts tell."""
WRITTEN = {"None": "null", "True": "true", "False": "false"}
"""Values as they are written in YAML."""


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
    """(layers, part, what is in it), layers that are alike together, numbered from 0 as in the setting `layers`."""
    rows = [("model", f"set: {group}", words) for group, words in _model_words(model.config)]
    rows += [("embedding", "tokens", _table_words(model.config))]
    for name, stack in stacks(model).items():
        config = stack.config
        rows.append((name, "positions", f"{config.positions.kind}, up to {config.max_length}"))
        if why := model.config.leaks().get("decoder" if name == "decoder" else ""):
            rows.append((name, "note", why))
        if len(stack.blocks) < config.num_layers:
            order = " ".join(map(str, stack.order))
            rows.append((name, "weights", f"shared ({config.sharing.kind}): layers run blocks {order}"))
        for numbers, layer in alike(stack):
            which, block = f"{name} {ranges(numbers)}", stack.blocks[stack.order[numbers[0]]]
            rows += [(which, part, words) for part, words in _block_words(block, layer)]
            rows += [(which, part, words) for part, words in _lambda_words(stack, numbers)]
            rows += [(which, part, words) for part, words in _kernel_words(stack, numbers[0])]
            rows += [(which, f"set: {group}", words) for group, words in _setting_words(layer)]
        if not isinstance(stack.norm, nn.Identity):
            rows.append((f"{name} end", "norm", config.norm.kind))
    for head_name, head in model.config.heads.items():
        tied = getattr(head, "tied", None)
        words = {None: "", True: ", its weight is the token table", False: ", a weight of its own"}[tied]
        rows.append(("head", head_name, f"{head.kind}{words}"))
        _, *settings = changes(head, None)  # the first is its kind
        if settings:
            rows.append(("head", f"set: {head_name}", ", ".join(f"{key}={value}" for key, value in settings)))
    return rows


def alike(stack: Stack) -> list[tuple[list[int], LayerConfig]]:
    """Layers that are made alike, as (their numbers, their config), in the order of the first of each."""
    found: dict[str, tuple[list[int], LayerConfig]] = {}
    for number, (block, layer) in enumerate(zip(stack.order, stack.config.layer_configs(), strict=True)):
        found.setdefault(f"{stack.blocks[block]!r} {layer!r}", ([], layer))[0].append(number)
    return list(found.values())


def ranges(numbers: Sequence[int]) -> str:
    """`[0, 1, 2, 4]` → `0–2, 4`, and `[0, 3, 6, 9]` → `0, 3, … 9`."""
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    if len(numbers) > 3 and len(steps) == 1 and steps != {1}:
        return f"{numbers[0]}, {numbers[1]}, … {numbers[-1]}"
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


def _setting_words(layer: LayerConfig) -> Iterator[tuple[str, str]]:
    """(field, what differs from the default in it) for each field of a layer that the words for its parts do not tell.

    Read from the config alone, so that a new field is told of the day that it is there.
    """
    yield from _grouped((path, value) for path, value in changes(layer, LayerConfig()) if path not in SHOWN)


def _model_words(config: ModelConfig) -> Iterator[tuple[str, str]]:
    """(field, what differs from the family's default in it) for each field that is no stack's, but for SHOWN_OF_MODEL.

    Read from the config alone, as those of a layer.
    """
    usual = default_fields(type(config))
    of_stacks = {field.name for field in dataclasses.fields(StackConfig)}
    for field in dataclasses.fields(config):
        value, default = getattr(config, field.name), usual.get(field.name)
        if field.name in of_stacks or field.name in SHOWN_OF_MODEL or value == default:
            continue
        if isinstance(value, Config):
            yield from _grouped(changes(value, default, f"{field.name}."))
        else:
            yield field.name, WRITTEN.get(str(value), str(value))


def _grouped(changed: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """(field, all that is changed in it)."""
    found: dict[str, list[str]] = {}
    for path, value in changed:
        group, _, rest = path.partition(".")
        found.setdefault(group, []).append(f"{rest}={value}" if rest else value)
    yield from ((group, ", ".join(words)) for group, words in found.items())


def _lambda_words(stack: Stack, numbers: Sequence[int]) -> Iterator[tuple[str, str]]:
    """Where the λ of differential attention starts, which may grow with the number of the layer."""
    blocks = [stack.blocks[stack.order[number]] for number in numbers]
    starts = [part.lambda_init for block in blocks for part in block.modules() if isinstance(part, DifferentialHeads)]
    if starts:
        lowest, highest = f"{min(starts):.3g}", f"{max(starts):.3g}"
        yield "differential", f"λ starts at {lowest}" + (f" to {highest}" if lowest != highest else "")


def changes(config: Config, default: Config | None, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(dotted key, value) for each field that differs from its default; beside a `kind`, from the defaults of that.

    Args:
        config: what there is.
        default: what would be there; None: nothing.
        prefix: of the keys.
    """
    if isinstance(config, Choice) and config.kind != getattr(default, "kind", None):
        yield prefix.removesuffix("."), config.kind
        before = default_fields(type(config))
    else:
        before = {} if default is None else {f.name: getattr(default, f.name) for f in dataclasses.fields(default)}
    for field in dataclasses.fields(config):
        value, usual = getattr(config, field.name), before.get(field.name, dataclasses.MISSING)
        if isinstance(value, Config):
            yield from changes(value, usual if isinstance(usual, Config) else None, f"{prefix}{field.name}.")
        elif value != usual:
            yield f"{prefix}{field.name}", WRITTEN.get(str(value), str(value))


def default_fields(schema: type[Config]) -> dict[str, Any]:
    """The default of each field that has one."""
    found = {}
    for field in dataclasses.fields(schema):
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
    return found


def _kernel_words(stack: Stack, number: int) -> Iterator[tuple[str, str]]:
    """(where, which kernel serves the attentions of a layer there and why), on the device that is here and on CUDA."""
    here = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    sort, block = stack.sorts[number], stack.blocks[stack.order[number]]
    crossed = any(name == "cross_attention" for name, part in block.named_children() if isinstance(part, Branch))
    for device, dtype in {here.type: torch.float32, "cuda": torch.bfloat16}.items():
        where = f"{device} {str(dtype).removeprefix('torch.')}"
        windowed, num_keys = sort.window != (None, None), stack.config.max_length
        demand = Demand(device, dtype, features=sort.features, masked=windowed, num_keys=num_keys)
        own = _served_by(sort.kernel, demand)
        memory = _served_by(sort.kernel, demand._replace(features=sort.features - {"bias"}, masked=False))
        yield f"kernel, {where}", own
        if crossed and memory != own:
            yield f"kernel of cross_attention, {where}", memory


def _served_by(kernel: str, demand: Demand) -> str:
    """Which kernel a layer would be served by, and why; apart for packed or padded rows where that differs."""
    if kernel != "auto":
        return f"{kernel} {KERNELS[kernel].refusal(demand) or 'is what the config says'}"
    plain, masked = explain(demand), explain(demand._replace(masked=True))
    if plain[0] == masked[0]:
        return " ".join(masked)
    return f"{' '.join(plain)}; packed or padded rows: {' '.join(masked)}"


def _table_words(config: ModelConfig) -> str:
    """How large the token table is, and how its width becomes that of the model."""
    size, factorization = config.vocab_size or 0, config.embedding.factorization
    spare = -size % config.vocab_multiple
    rows = f"{size} entries" + (f", padded to {size + spare} rows" if spare else "")
    if factorization is None:
        return f"{rows}, as wide as the model"
    what = "the sum" if factorization.order == "sum" else "the tokens"
    return f"{rows}, {factorization.dim} wide; a matrix brings {what} to the width of the model"


def stacks(model: Model) -> dict[str, Stack]:
    """The stacks of a model by name."""
    backbone = model.backbone
    if isinstance(backbone, EncoderDecoder):
        return {"encoder": backbone.encoder, "decoder": backbone.decoder}
    assert isinstance(backbone, SelfBackbone)
    return {"layers": backbone.stack}


def _block_words(block: nn.Module, layer: LayerConfig) -> Iterator[tuple[str, str]]:
    heads = layer.attention_heads
    grouped = f", {heads.num_kv_heads} for keys and values" if heads.num_kv_heads != heads.num_heads else ""
    attention = f"{heads.num_heads} heads × {heads.head_dim}{grouped}"
    words = {"self_attention": attention, "cross_attention": attention}
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
