"""GPT-NeoX: Black et al. 2022, arXiv:2204.06745; Pythia is one, too (Biderman et al. 2023, arXiv:2304.01373).

Queries, keys and values are one matrix, head by head. A part of each head is rotated. Attention and feed-forward stand
side by side, each with a norm of its own, unless `use_parallel_residual` is off.
"""

from __future__ import annotations

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
    tied,
    under,
)
from zoo.interop.labels import OF_DECODERS, TOKEN_DROPOUT
from zoo.interop.layouts import ByHead
from zoo.interop.rope import ROPE, rope
from zoo.interop.rope import modernize as with_rope_parameters
from zoo.models import ModelConfig

BLOCK = "backbone.stack.blocks.{layer}"
LAYER = {
    "attention.dense": "self_attention.sublayer.output",
    "mlp.dense_h_to_4h": "feed_forward.sublayer.input",
    "mlp.dense_4h_to_h": "feed_forward.sublayer.output",
    "input_layernorm": "self_attention.before",
    "post_attention_layernorm": "feed_forward.before",
}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of GPT-NeoX is with us."""
    fused = tuple(f"{BLOCK}.self_attention.sublayer.project.{part}" for part in ("query", "key", "value"))
    by_head = ByHead(config.num_heads)
    return (
        Rule("gpt_neox.embed_in", ("backbone.embedding.tokens",), also=("embed_out",) if tied(config) else ()),
        Rule("gpt_neox.layers.{layer}.attention.query_key_value", fused, by_head),
        *under("gpt_neox.layers.{layer}", BLOCK, LAYER),
        Rule("gpt_neox.final_layer_norm", ("backbone.stack.norm",)),
        Rule("embed_out", ("heads.language_model.output",)),
        Rule("score", ("heads.sequence_classification.output",)),
        Rule("classifier", ("heads.token_classification.output",)),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
    )


OLDER = {"rotary_pct": "partial_rotary_factor", "rotary_emb_base": "rope_theta"}
"""Names of older files → names in `rope_parameters`."""

USUAL = {"partial_rotary_factor": 0.25, "rope_theta": 10_000.0}
"""What holds where nothing is given."""


def modernize(config: Mapped) -> Mapped:
    """`rotary_pct` and `rotary_emb_base` of older files, as `rope_parameters`.

    Other architectures read `partial_rotary_factor` and `rope_theta` beside `rope_parameters`; this one never does, so
    they may only repeat what holds anyway (versions of transformers wrote them beside the older names).
    """
    older = {name: config.pop(name) for name in OLDER if name in config}
    idle = {name: config.pop(name) for name in USUAL if name in config}
    config = with_rope_parameters(config)
    rope = config.get(ROPE, {})
    for said, name in OLDER.items():
        if said in older and rope.setdefault(name, older[said]) != older[said]:
            raise ConfigError(f"{quoted(older[said])} contradicts {ROPE}.{name}={quoted(rope[name])}", said)
    for name, value in idle.items():
        holds = rope.get(name, USUAL[name])
        if value not in (None, holds):
            said = next(said for said, meant in OLDER.items() if meant == name)
            told = (
                f"{quoted(value)} is not read by gpt_neox, where {quoted(holds)} holds; say it as {said}, or remove it"
            )
            raise ConfigError(told, name)
    return {**config, ROPE: rope} if rope else config


GPT_NEOX = Architecture(
    name="gpt_neox",
    opens="GPT-NeoX, Pythia",
    paper="arXiv:2204.06745",
    described="2022-04",
    classes={
        "GPTNeoXForCausalLM": ("language_model",),
        "GPTNeoXForSequenceClassification": ("sequence_classification",),
        "GPTNeoXForTokenClassification": ("token_classification",),
        "GPTNeoXForQuestionAnswering": ("span_extraction",),
        "GPTNeoXModel": (),
    },
    constant={
        "kind": "decoder",
        "placement": "pre",
        "norm": {"kind": "layer_norm"},
        "positions": {"kind": "rotary"},
        "feed_forward": {"kind": "plain"},
        "heads": {"language_model": {"kind": "language_model"}, **OF_DECODERS},
        "initialization": {"kind": "gpt2"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 50432),
        Field("hidden_size", ("dim",), 6144),
        Field("num_hidden_layers", ("num_layers",), 44),
        Field("num_attention_heads", ("num_heads",), 64),
        Field("intermediate_size", ("feed_forward_dim",), 24576),
        Field("max_position_embeddings", ("max_length",), 2048),
        Field("hidden_act", ("feed_forward.activation",), "gelu", ACTIVATION_NAMES),
        Field("layer_norm_eps", ("norm.eps",), 1e-5),
        Field("use_parallel_residual", ("block.kind",), True, {True: "parallel", False: "sequential"}),
        Field("attention_bias", ATTENTION_BIASES, True),
        Field("tie_word_embeddings", ("heads.language_model.tied",), False),
        Field("hidden_dropout", ("dropout.embedding", "dropout.residual"), 0.0),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={
        **REQUIRED,
        "attention_probs_dropout_prob": (0, 0.0),  # never read, like the next one: attention_dropout is
        "hidden_dropout_prob": (0, 0.0),
        "is_encoder_decoder": (False,),
    },
    harmless=HARMLESS
    | {
        "pad_token_id",  # has no special row; a classifier there ends a text by it, ours by documents (docs/folders.md)
    },
    weights=weights,
    together=(rope(USUAL["rope_theta"], partial=USUAL["partial_rotary_factor"]), TOKEN_DROPOUT),
    ignored=(
        "gpt_neox.layers.{layer}.attention.bias",  # causal masks
        "gpt_neox.layers.{layer}.attention.masked_bias",
        "gpt_neox.layers.{layer}.attention.rotary_emb.inv_freq",
    ),
    modernize=modernize,
    prefix="gpt_neox",
)
ARCHITECTURES.add(GPT_NEOX.name, GPT_NEOX)
