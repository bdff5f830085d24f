"""The laws that every choice of the block library keeps, on one model: in float64, on outputs and on gradients.

Documents packed into one row, padded on the left or padded on the right equal each document alone; a stack that is
called piece by piece with a cache equals one call (so nothing looks into its future); kernels equal the reference.
A decoder keeps all of this with a prefix too, and hears it.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from zoo.generation.cache import GrowingCache
from zoo.models import Model, ModelConfig
from zoo.models.create import model_config
from zoo.models.decoder import Decoder
from zoo.models.encoder_decoder import EncoderDecoder
from zoo.nn.init import initialize

VOCAB_SIZE = 23
LENGTHS = {"": (5, 3, 4), "decoder_": (3, 5, 2)}
"""Tokens of three documents on the encoder's or only side, and on the decoder's."""
PREFIX = 2
"""Tokens at the start of each document that are its prefix, where there is one."""
TOLERANCE = 1e-10

SMALL: dict[str, Any] = {
    "dim": 16,
    "num_layers": 2,
    "num_heads": 4,
    "feed_forward_dim": 24,
    "max_length": 32,
    "vocab_size": VOCAB_SIZE,
    "heads": {"main": "language_model"},
}


def small(family: str, **changes: Any) -> ModelConfig:
    """A tiny model of a family."""
    return model_config({**SMALL, "kind": family}, **changes)


def build(config: ModelConfig) -> Model:
    """In float64, without dropout, with no weight left at 0 or 1."""
    model = config.build_unset().double()
    initialize(model, config.initialization, seed=0)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):
            parameter.add_(0.2 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 0.1)
    return model.eval()


def assert_laws(config: ModelConfig) -> None:
    """All of them; raises AssertionError that says which one does not hold."""
    model = build(config)
    expected = outcome(model, alone)
    for layout in (packed, padded_left, padded_right):
        assert_same(outcome(model, layout), expected, layout.__name__)
    if config.attention.kernel != "reference":
        reference = build(model_config(config, attention={"kernel": "reference"}))
        assert_same(outcome(reference, packed), expected, "the reference kernel")
    if config.causal:
        assert_cached_is_whole(model)
    if isinstance(model.backbone, Decoder):
        assert_laws_of_a_prefix(model, expected)


def assert_laws_of_a_prefix(model: Model, without: dict[str, Tensor]) -> None:
    """A prefix changes hidden states, and what it changes does not depend on the layout or the kernel."""
    expected = outcome(model, prefixed(alone))
    gap = (expected["hidden states"] - without["hidden states"]).norm() / without["hidden states"].norm()
    assert gap > 1e-6, "a prefix goes unheard"
    for layout in (packed, padded_left, padded_right):
        assert_same(outcome(model, prefixed(layout)), expected, f"a prefix, {layout.__name__}")
    reference = build(model_config(model.config, attention={"kernel": "reference"}))
    assert_same(outcome(reference, prefixed(packed)), expected, "a prefix, the reference kernel")


# ------------------------------------------------------------------------------------------------------------- layouts

Inputs = dict[str, Tensor]
Layout = Callable[[dict[str, list[Tensor]]], Iterator[tuple[Inputs, list[tuple[int, slice]]]]]


def documents_of(model: Model) -> dict[str, list[Tensor]]:
    """Tokens of three documents, by the prefix of the inputs; the side that is read out is last."""
    generator = torch.Generator().manual_seed(7)
    sides = ("", "decoder_") if isinstance(model.backbone, EncoderDecoder) else ("",)
    return {side: [torch.randint(VOCAB_SIZE, (n,), generator=generator) for n in LENGTHS[side]] for side in sides}


def alone(documents: dict[str, list[Tensor]]) -> Iterator[tuple[Inputs, list[tuple[int, slice]]]]:
    """Each document as a row of its own."""
    for tokens in zip(*documents.values(), strict=True):
        yield (
            {f"{side}tokens": row[None] for side, row in zip(documents, tokens, strict=True)},
            [(0, slice(0, len(tokens[-1])))],
        )


def packed(documents: dict[str, list[Tensor]]) -> Iterator[tuple[Inputs, list[tuple[int, slice]]]]:
    """All documents in one row, then padding."""
    yield _laid(documents, [[0, 1, 2]], left=False)


def padded_left(documents: dict[str, list[Tensor]]) -> Iterator[tuple[Inputs, list[tuple[int, slice]]]]:
    """One document in each row, padding before it."""
    yield _laid(documents, [[0], [1], [2]], left=True)


def padded_right(documents: dict[str, list[Tensor]]) -> Iterator[tuple[Inputs, list[tuple[int, slice]]]]:
    """One document in each row, padding behind it."""
    yield _laid(documents, [[0], [1], [2]], left=False)


def prefixed(layout: Layout) -> Layout:
    """The first tokens of each document are a prefix; so is padding, which nothing sees all the same."""

    def with_prefix(documents: dict[str, list[Tensor]]) -> Iterator[tuple[Inputs, list[tuple[int, slice]]]]:
        for inputs, places in layout(documents):
            positions = inputs.get("positions", torch.arange(inputs["tokens"].shape[1])[None])
            yield {**inputs, "prefix": positions < PREFIX}, places

    return with_prefix


def _laid(
    documents: dict[str, list[Tensor]], rows: list[list[int]], left: bool
) -> tuple[Inputs, list[tuple[int, slice]]]:
    inputs: Inputs = {}
    places: list[tuple[int, slice]] = []
    for side, tokens in documents.items():
        width = max(sum(len(tokens[index]) for index in row) for row in rows) + 1
        shape, places = (len(rows), width), []
        laid = torch.ones(shape).long(), torch.zeros(shape).long(), torch.full(shape, -1)
        for number, row in enumerate(rows):
            start = width - sum(len(tokens[index]) for index in row) if left else 0
            for index in row:
                place = (number, slice(start, start + len(tokens[index])))
                for values, value in zip(laid, (tokens[index], torch.arange(len(tokens[index])), index), strict=True):
                    values[place] = value
                places.append(place)
                start += len(tokens[index])
        inputs |= dict(zip((f"{side}tokens", f"{side}positions", f"{side}documents"), laid, strict=True))
    return inputs, places


# ------------------------------------------------------------------------------------------------------------ outcomes


def outcome(model: Model, layout: Layout) -> dict[str, Tensor]:
    """Hidden states of all documents one after another, and the gradient of each parameter of the backbone."""
    parts = []
    for inputs, places in layout(documents_of(model)):
        hidden_BTD = model.backbone(**inputs)
        assert hidden_BTD.isfinite().all(), "hidden states are not finite, padding included"
        parts += [hidden_BTD[place] for place in places]
    hidden = torch.cat(parts)
    direction = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(3), dtype=hidden.dtype)
    names, parameters = zip(*model.backbone.named_parameters(), strict=True)
    gradients = torch.autograd.grad((hidden * direction).sum(), parameters, allow_unused=True, materialize_grads=True)
    return {"hidden states": hidden.detach(), **dict(zip(names, gradients, strict=True))}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
    """Each tensor is judged by the larger of its own norm and the mean norm of all: some gradients are zero."""
    mean = torch.stack([tensor.norm() for tensor in expected.values()]).mean()
    for name, tensor in expected.items():
        gap = (found[name] - tensor).norm() / torch.maximum(tensor.norm(), mean)
        assert gap < TOLERANCE, f"{what}: {name} differ by {gap:.1e}"


def assert_cached_is_whole(model: Model) -> None:
    """A causal stack called with two, one and the remaining places of a row gives what one call gives."""
    documents, cache = documents_of(model), GrowingCache()
    *memory, tokens = (side[0][None] for side in documents.values())
    backbone: Any = model.backbone
    run: Callable[..., Tensor] = backbone
    if memory:
        encoded = backbone.encode(memory[0])
        run = lambda tokens, **options: backbone.decode(tokens, encoded, **options)  # noqa: E731
    with torch.no_grad():
        cuts = [2, 1, tokens.shape[1] - 3] if tokens.shape[1] > 3 else [2, 1]
        pieces = torch.cat([run(piece, cache=cache) for piece in tokens.split(cuts, dim=1)], dim=1)
        gap = (pieces - run(tokens)).abs().max()
    assert gap < TOLERANCE, f"cached: hidden states differ by {gap:.1e}"
