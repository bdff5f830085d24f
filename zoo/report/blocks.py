"""A model as blocks: the residual stream as a rail, and on it what is added, norms where they stand.

Layers that are alike are one block with the number of them. Everything that is said is read from the model as it was
built, or from where its config differs from the defaults, so that a new part shows up by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from torch import nn

from zoo.models import Model
from zoo.models.anatomy import alike, changes, ranges, stacks
from zoo.nn.layer import LayerConfig
from zoo.nn.positions import Positions
from zoo.nn.residual import Branch
from zoo.nn.stack import Stack
from zoo.report.markup import element

TITLES = {
    "self_attention": "self-attention",
    "cross_attention": "cross-attention",
    "feed_forward": "feed-forward",
}
TOLD = ("kernel", "window", "kind")
"""Settings of an attention that have words of their own."""


def draw_model(model: Model) -> Element:
    """Embedding, stacks and heads, from the tokens down."""
    config = model.config
    sides = [_side(model, name, stack) for name, stack in stacks(model).items()]
    tied: dict[object, str] = {True: "its weight is the token table", False: "a weight of its own"}
    heads = [
        _part("head", name.replace("_", " "), [tied.get(getattr(head, "tied", None), head.kind.replace("_", " "))])
        for name, head in config.heads.items()
    ]
    return element("div", element("div", *sides, class_="sides"), element("div", *heads, class_="tops"), class_="model")


def _side(model: Model, name: str, stack: Stack) -> Element:
    """One stack with its embedding."""
    title = None if name == "layers" else element("h4", name)
    embedding = model.config.embedding
    size = f"{model.config.vocab_size:,} × {embedding.table_dim(stack.config.dim):,}"
    words = [f"+ {stack.config.positions.kind} positions"] if _acts(stack.positions, "embed") else []
    words += [f"+ {embedding.num_segments} segments"] if embedding.num_segments else []
    words += [f"→ {stack.config.norm.kind}"] if embedding.norm else []
    words += [f"→ {stack.config.dim:,} wide"] if embedding.factorization else []
    blocks = [_block(stack, numbers, layer) for numbers, layer in alike(stack)]
    shared = stack.config.sharing.kind
    note = None
    if len(stack.blocks) < stack.config.num_layers:
        note = element("p", f"weights shared ({shared}): {len(stack.blocks)} block(s) of weights", class_="note")
    last = [] if isinstance(stack.norm, nn.Identity) else [_part("norm", stack.config.norm.kind, ["at the end"])]
    return element("div", title, _part("table", "token table", [size, *words]), *blocks, *last, note, class_="side")


def _block(stack: Stack, numbers: Sequence[int], layer: LayerConfig) -> Element:
    """Layers that are alike."""
    block = stack.blocks[stack.order[numbers[0]]]
    which = ranges(numbers)
    times = element("span", element("b", f"× {len(numbers)}"), f" layer{'s' * (len(numbers) > 1)} {which}", class_="of")
    branches = {name: part for name, part in block.named_children() if isinstance(part, Branch)}
    words = {name: list(_words(stack, numbers[0], layer, name, branch)) for name, branch in branches.items()}
    steps: list[Element | None] = []
    if layer.block.kind == "parallel":
        side_by_side = [_branch(name, branch, layer, words[name]) for name, branch in branches.items()]
        shared = _norm(layer, "before all") if _holds(block, "before") else None
        inside = element("div", shared, element("div", *side_by_side, class_="parallel"), class_="branch")
        steps = [inside, _sum(layer), _norm(layer, "after the sum") if _holds(block, "outer") else None]
    else:
        for name, branch in branches.items():
            steps += [element("div", _branch(name, branch, layer, words[name]), class_="branch"), _sum(layer)]
            steps += [_norm(layer, "after the sum") if _holds(branch, "outer") else None]
    return element("div", times, element("div", *steps, class_="rail"), class_="block")


def _branch(name: str, branch: Branch, layer: LayerConfig, words: list[str]) -> Element:
    """A sublayer with the norms inside its branch."""
    return element(
        "div",
        _norm(layer, "before") if _holds(branch, "before") else None,
        _part(name.split("_")[-1], TITLES.get(name, name), words),
        _norm(layer, "after") if _holds(branch, "after") else None,
        class_="sublayer",
    )


def _words(stack: Stack, number: int, layer: LayerConfig, name: str, branch: Branch) -> Iterator[str]:
    """What is live in a sublayer."""
    if name.endswith("attention"):
        heads = layer.attention_heads
        yield f"{heads.num_heads} heads × {heads.head_dim}"
        if heads.num_kv_heads != heads.num_heads:
            yield f"{heads.num_kv_heads} for keys and values"
        if layer.attention.kind != "multi_head":
            yield layer.attention.kind
        if name == "self_attention":
            yield from _views(stack, number, layer)
        else:
            yield "sees all of the encoder"
        usual = type(layer.attention)()
        changed = dict(changes(layer.attention, usual))
        absent = [key for key, value in changed.items() if key.endswith("_bias") and value == "false"]
        if absent:
            yield f"no bias of {', '.join(key.removesuffix('_bias') for key in absent)}"
        yield from (f"{key}={value}" for key, value in changed.items() if key not in (*TOLD, *absent))
        yield f"kernel {layer.attention.kernel}"
    else:
        yield branch.sublayer.extra_repr() or type(branch.sublayer).__name__
    if isinstance(branch.dropout, nn.Dropout):
        yield f"dropout {branch.dropout.p:g}"
    if not isinstance(branch.drop, nn.Identity):
        yield "drops whole branches"


def _views(stack: Stack, number: int, layer: LayerConfig) -> Iterator[str]:
    """Who sees whom, and by which positions."""
    window = layer.attention.window
    yield "sees the past" if stack.causal else "sees both ways"
    if window is not None:
        yield f"window {window}"
    scheme = stack.schemes[stack.sorts[number].scheme]
    assert isinstance(scheme, Positions)
    hooks = {"rotate": "turn queries and keys", "bias": "bias the scores"}
    acts = [words for hook, words in hooks.items() if _acts(scheme, hook)]
    if acts:
        yield f"{layer.positions.kind} positions {' and '.join(acts)}"
    elif not _acts(scheme, "embed"):
        yield "no positions"


def _acts(scheme: Positions, hook: str) -> bool:
    """Whether a positional scheme does something at one of its three places."""
    return getattr(type(scheme), hook) is not getattr(Positions, hook)


def _holds(module: nn.Module, slot: str) -> bool:
    """Whether a slot for a norm holds one."""
    return not isinstance(getattr(module, slot, nn.Identity()), nn.Identity)


def _norm(layer: LayerConfig, where: str) -> Element:
    return _part("norm", layer.norm.kind, [where])


def _sum(layer: LayerConfig) -> Element:
    """Where the branch joins the stream, and how, where that is not plain addition."""
    kind = layer.residual.kind
    return element("div", element("i", "+"), None if kind == "plain" else element("small", kind), class_="sum")


def _part(kind: str, title: str, words: Sequence[str]) -> Element:
    chips = [element("span", word) for word in words]
    return element("div", element("b", title), *chips, class_=f"part {kind}")
