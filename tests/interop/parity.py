"""Our models and transformers' side by side: same weights, same batch, in float64.

`oracle_result` and `our_result` give logits of the real positions, loss and every gradient (by our names) of a case;
`difference` is what the tests hold against a tolerance. What a batch looks like follows from what our model takes.
"""

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.interop.cases import CASES, LENGTHS, LONGEST, LONGEST_TARGET, PADDING, TARGET_LENGTHS, as_saved
from tests.oracle import gradient_difference, gradients, lifted, oracle_model, relative
from zoo.batch import IGNORE_INDEX
from zoo.config import build, merged, to_mapping
from zoo.interop import ARCHITECTURES, from_zoo, read_config, to_zoo, write_config
from zoo.models import Model, ModelConfig
from zoo.nn.loss import classification_loss, token_loss

TOLERANCE = 1e-13
"""Of logits, loss and every gradient, relative; README and CHANGELOG say it. Measured: below 3e-14, mostly 1e-14."""


PAIR_LOGITS = {"next_sentence": "seq_relationship_logits", "sentence_order": "sop_logits"}
"""What the output of a sentence-pair head is called."""


class Sides(NamedTuple):
    """One batch as each side takes it.

    Attributes:
        theirs, ours: keyword arguments of the two forwards.
        labels: (B, T) of the language model as theirs takes them, IGNORE_INDEX where nothing is scored.
        targets: (B, T) what our head is to say at each place.
        order: (B,) of the next-sentence head; None: the model has none, or a row does not begin with a real token.
        real: (B, T) bool, the positions whose logits are compared.
    """

    theirs: dict[str, Tensor]
    ours: dict[str, Tensor]
    labels: Tensor
    targets: Tensor
    order: Tensor | None
    real: Tensor


class Result(NamedTuple):
    """Logits by head, loss, and gradients by our names."""

    logits: dict[str, Tensor]
    loss: Tensor
    gradients: dict[str, Tensor]


class Difference(NamedTuple):
    """Relative differences of two results, the largest of each sort."""

    logits: float
    loss: float
    gradients: float


# -------------------------------------------------------------------------------------------------------------- batches


@functools.cache
def sides(name: str, padding: str) -> Sides:
    """A batch of three rows of different lengths for a case, padded on the left or on the right."""
    case, config = CASES[name], our_config(name)
    generator = torch.Generator().manual_seed(1)

    def draw(limit: int, *shape: int) -> Tensor:
        return torch.randint(0, limit, shape, generator=generator)

    vocab_size = config.vocab_size
    assert vocab_size is not None
    real = real_places(LENGTHS, LONGEST, padding)
    tokens = torch.where(real, draw(vocab_size, *real.shape), PADDING)
    tokens[:, 2:-2][draw(5, *tokens[:, 2:-2].shape) == 0] = PADDING  # the padding token is met in the text, too
    theirs = {"input_ids": tokens, "attention_mask": real.long()}
    ours = {"tokens": tokens, "documents": torch.where(real, 0, -1)}
    positions = (real.cumsum(1) - 1).clamp(min=0)
    if case.takes_positions:
        ours["positions"] = positions
        theirs["position_ids"] = positions + first_row(config)
    if config.embedding.num_segments:
        segments = (positions > 3).long() * real
        theirs["token_type_ids"] = ours["segments"] = segments.clamp(max=config.embedding.num_segments - 1)
    order = torch.tensor([1, 0, 1]) if "next_sentence" in config.heads and padding == "right" else None
    if config.kind == "encoder":
        labels = torch.where(real & (draw(2, *real.shape) == 0), draw(vocab_size, *real.shape), IGNORE_INDEX)
        return Sides(theirs, ours, labels, labels, order, real)
    if config.kind == "decoder":
        labels = torch.where(real & (positions > 0), tokens, IGNORE_INDEX)
        return Sides(theirs, ours, labels, functional.pad(labels, (0, 1), value=IGNORE_INDEX)[:, 1:], order, real)
    real = real_places(TARGET_LENGTHS, LONGEST_TARGET, "right")
    labels = torch.where(real, draw(vocab_size, *real.shape), IGNORE_INDEX)
    ours["decoder_tokens"] = _shifted(labels, case.config)
    if padding == "right":  # theirs never masks the padding of the target; after it nothing is scored
        ours["decoder_documents"] = torch.where(real, 0, -1)
    return Sides(theirs, ours, labels, labels, order, real)


def first_row(config: ModelConfig) -> int:
    """What theirs calls position 0: it counts the rows of its table."""
    return getattr(config.positions, "offset", 0)


def real_places(lengths: tuple[int, ...], longest: int, padding: str) -> Tensor:
    """(B, T) bool: which places hold a token and no padding."""
    place, length = torch.arange(longest)[None], torch.tensor(lengths)[:, None]
    return place < length if padding == "right" else place >= longest - length


def _shifted(labels: Tensor, config: Any) -> Tensor:
    """What the decoder reads: the labels, one place later."""
    tokens = functional.pad(labels, (1, 0), value=config.decoder_start_token_id)[:, :-1]
    return tokens.masked_fill(tokens == IGNORE_INDEX, config.pad_token_id)


# --------------------------------------------------------------------------------------------------------------- models


@functools.cache
def oracle(name: str) -> nn.Module:
    """The foreign model of a case."""
    case = CASES[name]
    model = oracle_model(case.model_class, case.config)
    case.mend(model)
    return model


def foreign_config(name: str) -> dict[str, Any]:
    """The config of a case as its config.json would have it."""
    case = CASES[name]
    return {**case.config.to_dict(), "architectures": [case.model_class.__name__]}


@functools.cache
def our_config(name: str) -> ModelConfig:
    """Our config of a case."""
    return read_config(CASES[name].architecture, foreign_config(name))


@functools.cache
def saved_weights(name: str) -> dict[str, Tensor]:
    """The oracle's weights by the names that its files have."""
    return as_saved(oracle(name), oracle(name).state_dict())


@functools.cache
def our_weights(name: str) -> dict[str, Tensor]:
    """The oracle's weights by our names."""
    return to_zoo(CASES[name].architecture, saved_weights(name), foreign_config(name))


def with_kernel(config: ModelConfig, kernel: str) -> ModelConfig:
    """The config with another attention kernel; raises ConfigError where it cannot do what is asked."""
    model = build(ModelConfig, merged(to_mapping(config), {"attention": {"kernel": kernel}}))
    assert isinstance(model, ModelConfig)
    return model


def our_model(name: str, kernel: str = "reference") -> Model:
    """Our model of a case, with the oracle's weights."""
    model = with_kernel(our_config(name), kernel).build_unset().double().eval()
    model.load_state_dict(our_weights(name))
    return model


# -------------------------------------------------------------------------------------------------------------- results


@functools.cache
def oracle_result(name: str, padding: str) -> Result:
    """What transformers computes; by SDPA where padding is on the left, if it can: its plain attention sees it all."""
    case, model, batch = CASES[name], oracle(name), sides(name, padding)
    model.zero_grad()
    model.set_attn_implementation("eager" if padding == "right" or case.eager else "sdpa")
    order = {} if batch.order is None else {f"{case.order}_label": batch.order}
    with lifted():
        output = model(**batch.theirs, labels=batch.labels, **order)
        all_logits = output.logits if "logits" in output else output.prediction_logits
        loss = output.loss
        if loss is None:  # without an order, theirs with two heads has no loss at all
            loss = functional.cross_entropy(all_logits.flatten(0, 1), batch.labels.flatten())
        loss.backward()
    logits = {"language_model": all_logits[batch.real].detach()}
    if batch.order is not None:
        logits["next_sentence"] = output[PAIR_LOGITS[case.order]].detach()
    buffers = {key: torch.zeros_like(tensor) for key, tensor in model.state_dict().items()}
    by_their_names = as_saved(model, buffers | gradients(model))
    by_our_names = to_zoo(case.architecture, by_their_names, foreign_config(name))
    trained = dict(our_config(name).build_unset().named_parameters(remove_duplicate=False))
    return Result(logits, loss.detach(), {key: value for key, value in by_our_names.items() if key in trained})


def our_result(model: Model, batch: Sides, *, gather: bool = False) -> Result:
    """What our model computes; `gather`: only scored positions go through the head."""
    model.zero_grad()
    hidden_BTD = model.backbone(**batch.ours)
    hidden_ND, labels_N = hidden_BTD.flatten(0, 1), batch.targets.flatten()
    scored = labels_N != IGNORE_INDEX
    if gather:
        hidden_ND, labels_N = hidden_ND[scored], labels_N[scored]
    loss = token_loss(model.heads["language_model"], hidden_ND, labels_N) / scored.sum()
    logits = {"language_model": model.heads["language_model"](hidden_BTD)[batch.real]}
    if batch.order is not None:
        logits["next_sentence"] = model.heads["next_sentence"](hidden_BTD)
        loss = loss + classification_loss(logits["next_sentence"], batch.order)[0] / len(batch.order)
    loss.backward()
    return Result({head: value.detach() for head, value in logits.items()}, loss.detach(), gradients(model))


def difference(ours: Result, theirs: Result) -> Difference:
    """How far two results are apart; infinite where they cannot be compared."""
    if {h: v.shape for h, v in ours.logits.items()} != {h: v.shape for h, v in theirs.logits.items()}:
        return Difference(float("inf"), float("inf"), float("inf"))
    return Difference(
        max(relative(ours.logits[head], theirs.logits[head]) for head in theirs.logits),
        relative(ours.loss, theirs.loss),
        gradient_difference(ours.gradients, theirs.gradients)[0],
    )


def parity(name: str, padding: str, kernel: str, *, gather: bool = False) -> Difference:
    """How far our model is from the oracle, on one batch."""
    ours = our_result(our_model(name, kernel), sides(name, padding), gather=gather)
    return difference(ours, oracle_result(name, padding))


# ----------------------------------------------------------------------------------------------------------- round trip


def round_trip(name: str) -> None:
    """Asserts that foreign weights and config survive the way to us and back, bit for bit."""
    architecture, config = CASES[name].architecture, our_config(name)
    ignored = ARCHITECTURES[architecture].ignored
    weights = {key: weight for key, weight in saved_weights(name).items() if key not in ignored}
    again = from_zoo(architecture, our_weights(name), config)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[key], weights[key]) and again[key].is_contiguous() for key in weights)
    spelled_out = write_config(architecture, config)
    assert write_config(architecture, read_config(architecture, spelled_out)) == spelled_out
    rebuilt = type(CASES[name].config)(**spelled_out)
    with torch.device("meta"):
        model = CASES[name].model_class(rebuilt)
    described = as_saved(model, model.state_dict())
    shapes = {key: weight.shape for key, weight in described.items() if key not in ignored}
    assert shapes == {key: weight.shape for key, weight in weights.items()}


# ------------------------------------------------------------------------------------------------------- foreign fields

NOT_TRIED = {
    "return_dict": "the form of what comes out",
    "reorder_and_upcast_attn": "asks for float32 by name, which cannot be lifted",
}


def other_values(value: Any) -> list[Any]:
    """Other values of a field of a foreign config; some may be refused there, or here."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, value * 2, value - 1, 1]
    if isinstance(value, float):
        return [value * 1.5 + 0.25, value / 2]
    return ["relu", "gelu_new", "gated-silu"] if isinstance(value, str) else []


def foreign_changes(name: str) -> dict[str, list[Any]]:
    """Other values for each field of the config of a case that is one number, switch or name."""
    given = CASES[name].config.to_dict()
    return {field: other_values(value) for field, value in given.items() if field not in NOT_TRIED}


def foreign_logits(
    name: str, config: Any, weights: dict[str, Tensor] | None = None, moved: int = 0
) -> tuple[nn.Module, Tensor]:
    """A foreign model of the class of a case, and what it says of the batch, in evaluation.

    Args:
        name: of the case.
        config: of the model.
        weights: what it has; None: random ones.
        moved: by how many rows of its table position 0 is not where that of the case is.
    """
    case, batch = CASES[name], sides(name, "right")
    inputs = batch.theirs | {key: ids + moved for key, ids in batch.theirs.items() if key == "position_ids"}
    targets = {"decoder_input_ids": batch.ours["decoder_tokens"]} if "decoder_tokens" in batch.ours else {}
    with lifted(), torch.no_grad():
        model = oracle_model(case.model_class, config)
        case.mend(model)
        if weights is not None:
            model.load_state_dict(weights)
        model.set_attn_implementation("eager")
        output = model(**inputs, **targets)
    return model, (output.logits if "logits" in output else output.prediction_logits)[batch.real]


def harm(name: str, field: str, value: Any) -> float:
    """How far the foreign model of a case moves in evaluation if one field of its config changes."""
    case, weights = CASES[name], oracle(name).state_dict()
    changed = type(case.config)(**{**case.config.to_dict(), field: value})
    return relative(foreign_logits(name, changed, weights)[1], foreign_logits(name, case.config, weights)[1])
