"""ModernBERT: Warner et al. 2024, arXiv:2412.13663, with its heads.

Layers that see all alternate with layers that see a window, and the two rotate with bases of their own. The first layer
has no norm before its attention, since the embedding has just been normalized.
"""

from __future__ import annotations

from typing import Any

from zoo.config import merged
from zoo.errors import ConfigError, quoted
from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    ATTENTION_BIASES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Rule,
    Together,
    tied,
    under,
)
from zoo.interop.labels import LABELLED
from zoo.interop.layer_types import FULL, SLIDING, changes_for, type_of_each
from zoo.models import ModelConfig

BLOCK = "backbone.stack.blocks.{layer}"
LAYER = {
    "attn.Wo": "self_attention.sublayer.output",
    "attn_norm": "self_attention.before",
    "mlp.Wo": "feed_forward.sublayer.output",
    "mlp_norm": "feed_forward.before",
}
THETA = {FULL: 160_000.0, SLIDING: 10_000.0}
ROPE = {kind: f"rope_parameters.{kind}.rope_theta" for kind in THETA}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of ModernBERT is with us; half of its `Wi` is the gate."""
    fused = tuple(f"{BLOCK}.self_attention.sublayer.project.{part}" for part in ("query", "key", "value"))
    gated = tuple(f"{BLOCK}.feed_forward.sublayer.{part}" for part in ("gate", "input"))
    return (
        Rule(
            "model.embeddings.tok_embeddings", ("backbone.embedding.tokens",), also=("decoder",) if tied(config) else ()
        ),
        Rule("model.embeddings.norm", ("backbone.embedding.norm",)),
        Rule("model.layers.{layer}.attn.Wqkv", fused),
        Rule("model.layers.{layer}.mlp.Wi", gated),
        *under("model.layers.{layer}", BLOCK, LAYER),
        Rule("model.final_norm", ("backbone.stack.norm",)),
        *(
            Rule(f"head.{part}", (f"heads.{head}.transform.{part}",))
            for head in ("language_model", *LABELLED)
            for part in ("dense", "norm")
        ),
        *(Rule("classifier", (f"heads.{head}.output",)) for head in LABELLED),
        Rule("decoder", ("heads.language_model",)),
        Rule("decoder", ("heads.language_model.output",)),
    )


def read_layers(theirs: Mapped) -> Mapped:
    """Global layers are the plain ones; local ones have a window and a base of their own, the first layer no norm."""
    num_layers, every = theirs["num_hidden_layers"], theirs.get("global_attn_every_n_layers", 3)
    types = theirs.get("layer_types") or [SLIDING if layer % every else FULL for layer in range(num_layers)]
    local = [kind == SLIDING for kind in type_of_each(types, (SLIDING, FULL), num_layers, "layer_types")]
    thetas = {kind: theirs.get(ROPE[kind], THETA[kind]) for kind in THETA}
    window = {"attention": {"window": theirs.get("local_attention", 128) // 2}}
    rotation = {"positions": {"theta": thetas[SLIDING]}} if thetas[SLIDING] != thetas[FULL] else {}
    without_norm = {"attention_placement": "none"}
    first = {"layers": {"0": without_norm}} if num_layers > 1 else without_norm
    if all(local):
        return {"positions.theta": thetas[SLIDING], "attention.window": window["attention"]["window"], **first}
    # Both may speak of layer 0 alone.
    return {"positions.theta": thetas[FULL], **merged({"layers": changes_for(local, window | rotation)}, first)}


def write_layers(config: ModelConfig) -> Mapped:
    """The type of each layer, the window and base of the local ones, and the base of the global ones."""
    layers = config.layer_configs()
    types = [FULL if layer.attention.window is None else SLIDING for layer in layers]
    found: dict[str, set[Any]] = {
        kind: {(layer.attention.window, getattr(layer.positions, "theta", None)) for layer in layers_of}
        for kind in THETA
        if (layers_of := [layer for layer, its in zip(layers, types, strict=True) if its == kind])
    }
    if any(len(numbers) > 1 for numbers in found.values()):
        raise ConfigError(f"one window and one theta for each sort of layer, not {found}", "layers")
    written: Mapped = {"layer_types": types}
    for kind, numbers in found.items():
        window, theta = numbers.pop()
        written |= {ROPE[kind]: theta, f"rope_parameters.{kind}.rope_type": "default"}
        written |= {} if window is None else {"local_attention": 2 * window}
    return written


def modernize(config: Mapped) -> Mapped:
    """The two bases of older files, as `rope_parameters`."""
    given = config.pop("rope_parameters", None) or {}
    if wrong := [kind for kind, parameters in given.items() if not isinstance(parameters, dict)]:
        told = f"{quoted(given[wrong[0]])} is no group of fields for {wrong[0]}; it must be {{rope_theta: value, …}}"
        raise ConfigError(told, "rope_parameters")
    rope = {kind: dict(parameters) for kind, parameters in given.items()}
    for older, kind in {"global_rope_theta": FULL, "local_rope_theta": SLIDING}.items():
        theta = config.pop(older, None)
        if theta is not None and rope.setdefault(kind, {}).setdefault("rope_theta", theta) != theta:
            raise ConfigError(f"{theta!r} contradicts {ROPE[kind]}={rope[kind]['rope_theta']!r}", older)
    return {**config, "rope_parameters": rope} if rope else config


MODERNBERT = Architecture(
    name="modernbert",
    opens="ModernBERT",
    paper="arXiv:2412.13663",
    described="2024-12",
    classes={
        "ModernBertForMaskedLM": ("language_model",),
        "ModernBertForSequenceClassification": ("sequence_classification",),
        "ModernBertForTokenClassification": ("token_classification",),
        "ModernBertForQuestionAnswering": ("span_extraction",),
        "ModernBertModel": (),
    },
    constant={
        "kind": "encoder",
        "placement": "pre",
        "norm": {"kind": "layer_norm"},
        "positions": {"kind": "rotary"},
        "feed_forward": {"kind": "gated"},
        "embedding": {"norm": True},
        "heads": {
            "language_model": {"kind": "language_model"},
            **{head: {"kind": head, "transform": {"norm": True}} for head in LABELLED},
        },
        "initialization": {"kind": "bert"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 50368),
        Field("hidden_size", ("dim",), 768),
        Field("num_hidden_layers", ("num_layers",), 22),
        Field("num_attention_heads", ("num_heads",), 12),
        Field("intermediate_size", ("feed_forward_dim",), 1152),
        Field("max_position_embeddings", ("max_length",), 8192),
        Field("hidden_activation", ("feed_forward.activation",), "gelu", ACTIVATION_NAMES),
        Field(
            "classifier_activation",
            ("heads.language_model.transform", *(f"heads.{head}.transform.activation" for head in LABELLED)),
            "gelu",
            ACTIVATION_NAMES,
        ),
        Field(
            "classifier_pooling", ("heads.sequence_classification.pooling",), "cls", {"cls": "first", "mean": "mean"}
        ),
        Field("classifier_dropout", tuple(f"heads.{head}.dropout" for head in LABELLED), 0.0),
        Field("norm_eps", ("norm.eps",), 1e-5),
        Field("norm_bias", ("norm.bias",), False),
        Field("attention_bias", ATTENTION_BIASES, False),
        Field("mlp_bias", ("feed_forward.bias",), False),
        Field(
            "classifier_bias",
            ("heads.language_model.transform_bias", *(f"heads.{head}.transform.bias" for head in LABELLED)),
            False,
        ),
        Field("decoder_bias", ("heads.language_model.bias",), True),
        Field("tie_word_embeddings", ("heads.language_model.tied",), True),
        Field("pad_token_id", ("embedding.padding_token",), 50283),
        Field("embedding_dropout", ("dropout.embedding",), 0.0),
        Field("mlp_dropout", ("dropout.feed_forward",), 0.0),
        Field("initializer_range", ("initialization.std",), 0.02),
    ),
    required={
        **REQUIRED,
        "attention_dropout": (0.0, 0),  # theirs drops attention's branch as well, but not that of the feed-forward
        "initializer_cutoff_factor": (2.0, 2),
        "is_encoder_decoder": (False,),
        "position_embedding_type": ("absolute", "sans_pos"),  # never read
        f"rope_parameters.{FULL}.rope_type": ("default",),
        f"rope_parameters.{SLIDING}.rope_type": ("default",),
        "sparse_prediction": (False,),
    },
    harmless=HARMLESS
    | {
        "cls_token_id",
        "deterministic_flash_attn",  # how it is computed, like the next ones
        "layer_norm_eps",  # never read
        "reference_compile",
        "repad_logits_with_grad",
        "sparse_pred_ignore_index",
    },
    weights=weights,
    together=(
        Together(
            ("layer_types", "global_attn_every_n_layers", "local_attention", *ROPE.values()),
            read_layers,
            write_layers,
            ours={"attention.window": "local_attention", "positions.theta": ROPE[FULL]},
        ),
    ),
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(MODERNBERT.name, MODERNBERT)
