"""Every class of every table beside transformers' class of that name: base models, and heads of labelled tasks.

The size is that of the first case of the architecture; what is compared follows from which heads the class has.
"""

import functools
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from tests.interop.cases import CASES, FIRST, LENGTHS, LONGEST, PADDING, VOCAB, as_saved
from tests.interop.parity import Difference, first_row, real_places, with_kernel
from tests.oracle import gradient_difference, gradients, lifted, oracle_model, relative
from zoo.interop import ARCHITECTURES, from_zoo, left_out, read_config, to_zoo
from zoo.interop.labels import LABELLED
from zoo.models import Model, ModelConfig

END = 2
"""Of BART's texts."""
NAMES = ("no", "yes", "maybe so")
"""Of the classes."""

COMPARED = {case.model_class.__name__ for case in CASES.values()}
CLASSES = [
    (architecture, name)
    for architecture, table in ARCHITECTURES.items()
    for name in table.classes
    if name not in COMPARED
]
"""(architecture, class) of those that are no case of their own."""


class Result(NamedTuple):
    """What a model says of the real places (or rows), the loss, and gradients by our names."""

    said: Tensor
    loss: Tensor
    gradients: dict[str, Tensor]


def heads_of(architecture: str, name: str) -> tuple[str, ...]:
    """Our heads of a class."""
    return ARCHITECTURES[architecture].classes[name]


@functools.cache
def foreign_config(architecture: str, name: str, **changes: Any) -> Any:
    """The config object of a class, of the size of the first case."""
    case, heads = CASES[FIRST[architecture]], heads_of(architecture, name)
    labels = NAMES if {"sequence_classification", "token_classification"} & {*heads} else ("begin", "end")
    given = {
        **case.config.to_dict(),
        "architectures": [name],
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
        "pad_token_id": PADDING,
        "eos_token_id": END,
        "decoder_start_token_id": END,
    }
    return type(case.config)(**{**given, **changes})


@functools.cache
def oracle(architecture: str, name: str, **changes: Any) -> nn.Module:
    """The foreign model."""
    model = oracle_model(getattr(transformers, name), foreign_config(architecture, name, **changes))
    CASES[FIRST[architecture]].mend(model)
    return model


@functools.cache
def our_config(architecture: str, name: str, **changes: Any) -> ModelConfig:
    """Our config of it, with the plain kernel."""
    return with_kernel(read_config(architecture, foreign_config(architecture, name, **changes).to_dict()), "reference")


def saved(architecture: str, name: str, **changes: Any) -> dict[str, Tensor]:
    """The oracle's weights by the names that its files have."""
    model = oracle(architecture, name, **changes)
    return as_saved(model, model.state_dict())


def our_model(architecture: str, name: str, **changes: Any) -> Model:
    """Our model with the oracle's weights."""
    model = our_config(architecture, name, **changes).build_unset().double().eval()
    given = foreign_config(architecture, name, **changes).to_dict()
    model.load_state_dict(to_zoo(architecture, saved(architecture, name, **changes), given))
    return model


def batches(architecture: str, name: str, padding: str) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Three rows as theirs and as ours takes them, and which places are real; padding is met nowhere in the text."""
    case, config = CASES[FIRST[architecture]], our_config(architecture, name)
    generator = torch.Generator().manual_seed(1)
    real = real_places(LENGTHS, LONGEST, padding)
    tokens = torch.where(real, torch.randint(1, VOCAB, real.shape, generator=generator), PADDING)
    positions = (real.cumsum(1) - 1).clamp(min=0)
    theirs = {"input_ids": tokens, "attention_mask": real.long()}
    ours = {"tokens": tokens, "documents": torch.where(real, 0, -1)}
    if case.takes_positions:
        ours["positions"] = positions
        theirs["position_ids"] = positions + first_row(config)
    if config.embedding.num_segments > 1:
        theirs["token_type_ids"] = ours["segments"] = (positions > 3).long() * real
    if config.kind == "encoder_decoder" and "sequence_classification" in config.heads:
        return _read_twice(theirs, ours, real)
    if config.kind == "encoder_decoder":
        target = torch.randint(1, VOCAB, (len(real), 7), generator=generator)
        theirs["decoder_input_ids"] = ours["decoder_tokens"] = target
        real = torch.ones_like(target, dtype=torch.bool)
    return theirs, ours, real


def _read_twice(
    theirs: dict[str, Tensor], ours: dict[str, Tensor], real: Tensor
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """BART and T5 classify what the decoder says at the end token of the input, which it reads one place later."""
    end = real & ~functional.pad(real, (0, 1))[:, 1:]
    tokens = ours["tokens"].masked_fill(ours["tokens"] == END, END + 1).masked_fill(end, END)
    shifted = functional.pad(tokens, (1, 0), value=END)[:, :-1]
    ours |= {"tokens": tokens, "decoder_tokens": shifted, "decoder_documents": ours["documents"]}
    return theirs | {"input_ids": tokens, "decoder_attention_mask": real.long()}, ours, real


def oracle_result(architecture: str, name: str, padding: str, **changes: Any) -> Result:
    """What transformers computes."""
    model, case = oracle(architecture, name, **changes), CASES[FIRST[architecture]]
    theirs, _, real = batches(architecture, name, padding)
    model.zero_grad()
    model.set_attn_implementation("eager" if padding == "right" or case.eager else "sdpa")  # type: ignore[operator]
    with lifted():
        scored, loss = _judged(said(model(**theirs)), real, heads_of(architecture, name))
        loss.backward()
    buffers = {key: torch.zeros_like(tensor) for key, tensor in model.state_dict().items()}
    by_their_names = as_saved(model, buffers | gradients(model))
    given = foreign_config(architecture, name, **changes).to_dict()
    by_our_names = to_zoo(architecture, by_their_names, given)
    trained = dict(our_config(architecture, name, **changes).build_unset().named_parameters(remove_duplicate=False))
    return Result(scored.detach(), loss.detach(), {key: by_our_names[key] for key in trained})


def our_result(architecture: str, name: str, padding: str, **changes: Any) -> Result:
    """What we compute."""
    model, heads = our_model(architecture, name, **changes), heads_of(architecture, name)
    _, ours, real = batches(architecture, name, padding)
    said = model(**ours)[heads[0]] if heads else model.backbone(**ours)
    said, loss = _judged(said, real, heads)
    loss.backward()
    return Result(said.detach(), loss.detach(), gradients(model))


def parity(architecture: str, name: str, padding: str, **changes: Any) -> Difference:
    """How far our model is from the oracle."""
    ours = our_result(architecture, name, padding, **changes)
    theirs = oracle_result(architecture, name, padding, **changes)
    if ours.said.shape != theirs.said.shape:
        return Difference(float("inf"), float("inf"), float("inf"))
    return Difference(
        relative(ours.said, theirs.said),
        relative(ours.loss, theirs.loss),
        gradient_difference(ours.gradients, theirs.gradients)[0],
    )


def round_trip(architecture: str, name: str) -> None:
    """Asserts that the weights of a class survive the way to us and back, bit for bit, all that are any."""
    given, weights = foreign_config(architecture, name).to_dict(), saved(architecture, name)
    unused, table = left_out(architecture, weights, given), ARCHITECTURES[architecture]
    again = from_zoo(architecture, to_zoo(architecture, weights, given), our_config(architecture, name))
    kept = {key for key in weights if key not in unused and not {key, f"{table.prefix}.{key}"} & {*table.ignored}}
    assert again.keys() == kept
    assert all(torch.equal(again[key], weights[key]) for key in kept)
    assert unused == []


def paddings(architecture: str, name: str) -> tuple[str, ...]:
    """On which sides theirs can be padded: not before a first token that it takes from place 0 of the row."""
    config = our_config(architecture, name)
    heads = heads_of(architecture, name)
    reads_place_0 = any(head == "next_sentence" for head in heads) or any(
        getattr(config.heads[head], "pooling", "") == "first" for head in heads
    )
    left = not reads_place_0 and (CASES[FIRST[architecture]].takes_positions or config.positions.kind != "learned")
    return ("right", "left") if left else ("right",)


def said(output: Any) -> Tensor:
    """Logits, or what a base model says: its pooler, or else its hidden states."""
    if "pooler_output" in output:
        return output.pooler_output
    if "start_logits" in output:
        return torch.stack((output.start_logits, output.end_logits), dim=-1)
    return output.logits if "logits" in output else output.last_hidden_state


def _judged(said: Tensor, real: Tensor, heads: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """What is said of rows or real places, and a loss: cross entropy, or a product with a random direction."""
    generator = torch.Generator().manual_seed(4)
    if heads and heads[0] == "span_extraction":  # over the places of a row, for its begin and for its end
        ends = real.shape[1] - 1 - real.flip(1).int().argmax(1)
        targets = torch.stack((real.int().argmax(1), ends), dim=-1)
        return said[real], functional.cross_entropy(said.masked_fill(~real[..., None], -1e4), targets)
    said = said if said.ndim == 2 else said[real]
    if heads and heads[0] in (*LABELLED, "next_sentence", "language_model"):
        targets = torch.randint(0, said.shape[-1], said.shape[:1], generator=generator)
        return said, functional.cross_entropy(said, targets)
    return said, (said * torch.randn(said.shape, generator=generator, dtype=said.dtype)).sum()
