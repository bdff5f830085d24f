"""Our models and transformers' side by side: same weights, same batch, in float64.

A case is a foreign class and an odd-sized config of it. `oracle_result` and `our_result` give logits of the real
positions, loss and every gradient (by our names); `difference` is what the tests hold against a tolerance.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertConfig, GPT2Config, LlamaConfig, T5Config
from transformers.models.bert.modeling_bert import BertForPreTraining
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from tests.oracle import gradient_difference, gradients, lifted, oracle_model, randomize, relative
from zoo.batch import IGNORE_INDEX
from zoo.interop import from_zoo, read_config, to_zoo, write_config
from zoo.models import Model
from zoo.nn.loss import classification_loss, token_loss

TOLERANCE = 1e-12
"""Of logits, loss and every gradient, relative. What is measured is below 1e-14."""

LENGTHS, LONGEST = (13, 8, 5), 13
TARGET_LENGTHS, LONGEST_TARGET = (6, 9, 3), 9
VOCAB = 37
PADDING = 0


class Case(NamedTuple):
    """A foreign class, its config, and the table that maps them."""

    architecture: str
    model_class: Any
    config: Any


CASES = {
    "bert": Case(
        "bert",
        BertForPreTraining,
        BertConfig(
            vocab_size=VOCAB,
            hidden_size=21,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            layer_norm_eps=1e-3,
        ),
    ),
    "gpt2": Case(
        "gpt2",
        GPT2LMHeadModel,
        GPT2Config(
            vocab_size=VOCAB, n_embd=15, n_layer=3, n_head=3, n_inner=23, n_positions=17, layer_norm_epsilon=1e-3
        ),
    ),
    "gpt2 untied and unscaled": Case(
        "gpt2",
        GPT2LMHeadModel,
        GPT2Config(
            vocab_size=VOCAB,
            n_embd=15,
            n_layer=2,
            n_head=3,
            n_positions=17,
            activation_function="relu",
            scale_attn_weights=False,
            tie_word_embeddings=False,
        ),
    ),
    "t5": Case(
        "t5",
        T5ForConditionalGeneration,
        T5Config(
            vocab_size=VOCAB,
            d_model=18,
            d_kv=5,
            d_ff=27,
            num_layers=3,
            num_decoder_layers=2,
            num_heads=3,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=11,
            layer_norm_epsilon=1e-3,
            decoder_start_token_id=PADDING,
        ),
    ),
    "t5 v1.1": Case(
        "t5",
        T5ForConditionalGeneration,
        T5Config(
            vocab_size=VOCAB,
            d_model=18,
            d_kv=5,
            d_ff=27,
            num_layers=2,
            num_heads=3,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=11,
            layer_norm_epsilon=1e-3,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=False,
            decoder_start_token_id=PADDING,
        ),
    ),
    "llama": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
    ),
    "llama tied with biases and a padding row": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=18,
            intermediate_size=25,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=17,
            attention_bias=True,
            mlp_bias=True,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
        ),
    ),
}


class Sides(NamedTuple):
    """One batch as each side takes it.

    Attributes:
        theirs, ours: keyword arguments of the two forwards.
        labels: (B, T) of the language model, IGNORE_INDEX where nothing is scored.
        order: (B,) of the next-sentence head.
        real: (B, T) bool, the positions whose logits are compared.
    """

    theirs: dict[str, Tensor]
    ours: dict[str, Tensor]
    labels: Tensor
    order: Tensor
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


def sides(case: Case, padding: str) -> Sides:
    """A batch of three rows of different lengths, padded on the left or on the right."""
    generator = torch.Generator().manual_seed(1)

    def draw(limit: int, *shape: int) -> Tensor:
        return torch.randint(0, limit, shape, generator=generator)

    real = _real(LENGTHS, LONGEST, padding)
    tokens = torch.where(real, draw(VOCAB, *real.shape), PADDING)
    tokens[:, 2:-2][draw(5, *tokens[:, 2:-2].shape) == 0] = PADDING  # the padding token is met in the text, too
    positions = (real.cumsum(1) - 1).clamp(min=0)
    documents = torch.where(real, 0, -1)
    theirs = {"input_ids": tokens, "attention_mask": real.long()}
    ours = {"tokens": tokens, "documents": documents}
    order = torch.tensor([1, 0, 1])
    if case.architecture == "t5":
        return _t5_sides(theirs, ours, order, draw, padding)
    theirs["position_ids"] = ours["positions"] = positions
    if case.architecture == "bert":
        theirs["token_type_ids"] = ours["segments"] = (positions > 3).long() * real
        labels = torch.where(real & (draw(2, *real.shape) == 0), draw(VOCAB, *real.shape), IGNORE_INDEX)
        return Sides(theirs, ours, labels, order, real)
    labels = torch.where(real & (positions > 0), tokens, IGNORE_INDEX)
    return Sides(theirs, ours, labels, order, real)


def _t5_sides(theirs: dict[str, Tensor], ours: dict[str, Tensor], order: Tensor, draw: Any, padding: str) -> Sides:
    real = _real(TARGET_LENGTHS, LONGEST_TARGET, "right")
    labels = torch.where(real, draw(VOCAB, *real.shape), IGNORE_INDEX)
    shifted = functional.pad(labels, (1, 0), value=PADDING)[:, :-1]
    decoder_tokens = shifted.masked_fill(shifted == IGNORE_INDEX, PADDING)
    ours = {**ours, "decoder_tokens": decoder_tokens}
    if padding == "right":  # theirs never masks the padding of the target; after it nothing is scored
        ours["decoder_documents"] = torch.where(real, 0, -1)
    return Sides(theirs, ours, labels, order, real)


def _real(lengths: tuple[int, ...], longest: int, padding: str) -> Tensor:
    place, length = torch.arange(longest)[None], torch.tensor(lengths)[:, None]
    return place < length if padding == "right" else place >= longest - length


@functools.cache
def oracle(name: str) -> nn.Module:
    """The foreign model of a case; T5 v1.1's output layer is made free, as in its files (transformers ties it)."""
    case = CASES[name]
    model = oracle_model(case.model_class, case.config)
    if case.architecture == "t5" and not case.config.scale_decoder_outputs:
        model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))
        randomize(model, seed=2)
    return model


def foreign_config(name: str) -> dict[str, Any]:
    """The config of a case as its config.json would have it."""
    case = CASES[name]
    return {**case.config.to_dict(), "architectures": [case.model_class.__name__]}


def our_model(name: str, kernel: str = "sdpa") -> Model:
    """Our model of a case, with the oracle's weights."""
    architecture = CASES[name].architecture
    config = read_config(architecture, foreign_config(name))
    config = dataclasses.replace(config, attention=dataclasses.replace(config.attention, kernel=kernel))
    model = config.build_unset().double().eval()
    model.load_state_dict(to_zoo(architecture, oracle(name).state_dict(), foreign_config(name)))
    return model


def has_first(padding: str) -> bool:
    """Whether each row begins with a real token: what the next-sentence head reads would be padding otherwise."""
    return padding == "right"


@functools.cache
def oracle_result(name: str, padding: str) -> Result:
    """What transformers computes; by SDPA where padding is on the left: its plain attention may see nothing there."""
    case, model, batch = CASES[name], oracle(name), sides(CASES[name], padding)
    model.zero_grad()
    model.set_attn_implementation("eager" if padding == "right" else "sdpa")
    labels = {"labels": batch.labels} | ({"next_sentence_label": batch.order} if case.architecture == "bert" else {})
    with lifted():
        output = model(**batch.theirs, **labels)
        loss = output.loss
        if case.architecture == "bert" and not has_first(padding):
            loss = functional.cross_entropy(output.prediction_logits.flatten(0, 1), batch.labels.flatten())
        loss.backward()
    if case.architecture == "bert":
        logits = {"language_model": output.prediction_logits[batch.real]}
        if has_first(padding):
            logits["next_sentence"] = output.seq_relationship_logits
    else:
        logits = {"language_model": output.logits[batch.real]}
    by_our_names = to_zoo(case.architecture, gradients(model), foreign_config(name))
    return Result({head: value.detach() for head, value in logits.items()}, loss.detach(), by_our_names)


def our_result(model: Model, architecture: str, batch: Sides, *, gather: bool = False) -> Result:
    """What our model computes; `gather`: only scored positions go through the head."""
    model.zero_grad()
    hidden_BTD = model.backbone(**batch.ours)
    labels = batch.labels
    if architecture in ("gpt2", "llama"):
        labels = functional.pad(labels, (0, 1), value=IGNORE_INDEX)[:, 1:]
    hidden_ND, labels_N = hidden_BTD.flatten(0, 1), labels.flatten()
    scored = labels_N != IGNORE_INDEX
    if gather:
        hidden_ND, labels_N = hidden_ND[scored], labels_N[scored]
    loss = token_loss(model.heads["language_model"], hidden_ND, labels_N)[0] / scored.sum()
    logits = {"language_model": model.heads["language_model"](hidden_BTD)[batch.real]}
    if "next_sentence" in model.heads and batch.real[:, 0].all():
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
    batch = sides(CASES[name], padding)
    ours = our_result(our_model(name, kernel), CASES[name].architecture, batch, gather=gather)
    return difference(ours, oracle_result(name, padding))


def round_trip(name: str) -> None:
    """Asserts that foreign weights and config survive the way to us and back, bit for bit."""
    architecture, foreign = CASES[name].architecture, foreign_config(name)
    weights = oracle(name).state_dict()
    config = read_config(architecture, foreign)
    again = from_zoo(architecture, to_zoo(architecture, weights, foreign), config)
    assert again.keys() == weights.keys()
    assert all(torch.equal(again[key], weights[key]) and again[key].is_contiguous() for key in weights)
    spelled_out = write_config(architecture, config)
    assert write_config(architecture, read_config(architecture, spelled_out)) == spelled_out
    rebuilt = type(CASES[name].config)(**spelled_out)
    with torch.device("meta"):
        described = CASES[name].model_class(rebuilt).state_dict()
    assert {key: value.shape for key, value in described.items()} == {key: w.shape for key, w in weights.items()}
