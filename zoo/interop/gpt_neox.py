"""GPT-NeoX: Black et al. 2022, arXiv:2204.06745; Pythia is one, too (Biderman et al. 2023, arXiv:2304.01373).

Queries, keys and values are one matrix, head by head. A part of each head is rotated. Attention and feed-forward stand
side by side, each with a norm of its own, unless `use_parallel_residual` is off.
"""

from __future__ import annotations

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
from zoo.interop.rope import modernize as with_rope_parameters
from zoo.interop.rope import rope
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


def modernize(config: Mapped) -> Mapped:
    """`rotary_pct` and `rotary_emb_base` of older files, as `rope_parameters`."""
    for older, name in {"rotary_pct": "partial_rotary_factor", "rotary_emb_base": "rope_theta"}.items():
        if older in config:
            config.setdefault(name, config.pop(older))
    return with_rope_parameters(config)


GPT_NEOX = Architecture(
    name="gpt_neox",
    opens="GPT-NeoX, Pythia",
    paper="arXiv:2204.06745",
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
        "pad_token_id",  # has no special row
    },
    weights=weights,
    together=(rope(partial=0.25), TOKEN_DROPOUT),
    ignored=(
        "gpt_neox.layers.{layer}.attention.bias",  # causal masks
        "gpt_neox.layers.{layer}.attention.masked_bias",
        "gpt_neox.layers.{layer}.attention.rotary_emb.inv_freq",
    ),
    modernize=modernize,
    prefix="gpt_neox",
)
ARCHITECTURES.add(GPT_NEOX.name, GPT_NEOX)
