"""BLOOM: BigScience 2022, arXiv:2211.05100.

Queries, keys and values are one matrix, head by head; ALiBi; a norm after the embedding; a GELU with constants of its
own.
"""

from __future__ import annotations

from zoo.interop.base import (
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Rule,
    tied,
    under,
    with_one_name,
)
from zoo.interop.labels import OF_DECODERS, classifier_dropout
from zoo.interop.layouts import ByHead
from zoo.models import ModelConfig

BLOCK = "backbone.stack.blocks.{layer}"
LAYER = {
    "self_attention.dense": "self_attention.sublayer.output",
    "mlp.dense_h_to_4h": "feed_forward.sublayer.input",
    "mlp.dense_4h_to_h": "feed_forward.sublayer.output",
    "input_layernorm": "self_attention.before",
    "post_attention_layernorm": "feed_forward.before",
}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of BLOOM is with us."""
    fused = tuple(f"{BLOCK}.self_attention.sublayer.project.{part}" for part in ("query", "key", "value"))
    return (
        Rule("transformer.word_embeddings", ("backbone.embedding.tokens",), also=("lm_head",) if tied(config) else ()),
        Rule("transformer.word_embeddings_layernorm", ("backbone.embedding.norm",)),
        Rule("transformer.h.{layer}.self_attention.query_key_value", fused, ByHead(config.num_heads)),
        *under("transformer.h.{layer}", BLOCK, LAYER),
        Rule("transformer.ln_f", ("backbone.stack.norm",)),
        Rule("lm_head", ("heads.language_model.output",)),
        Rule("score", ("heads.sequence_classification.output",)),
        Rule("classifier", ("heads.token_classification.output",)),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
    )


def modernize(config: Mapped) -> Mapped:
    """One name for each number; `n_embed`, the width of older files, may be null."""
    if config.get("n_embed", 0) is None:
        del config["n_embed"]
    return with_one_name(
        config, {"n_embed": "hidden_size", "num_attention_heads": "n_head", "num_hidden_layers": "n_layer"}
    )


BLOOM = Architecture(
    name="bloom",
    opens="BLOOM, BLOOMZ",
    paper="arXiv:2211.05100",
    described="2022-11",
    classes={
        "BloomForCausalLM": ("language_model",),
        "BloomForSequenceClassification": ("sequence_classification",),
        "BloomForTokenClassification": ("token_classification",),
        "BloomForQuestionAnswering": ("span_extraction",),
        "BloomModel": (),
    },
    constant={
        "kind": "decoder",
        "placement": "pre",
        "norm": {"kind": "layer_norm"},
        "positions": {"kind": "alibi"},
        "feed_forward": {"kind": "plain", "activation": "gelu_bloom"},
        "embedding": {"norm": True},
        "heads": {"language_model": {"kind": "language_model"}, **OF_DECODERS},
        "initialization": {"kind": "gpt2"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 250880),
        Field("hidden_size", ("dim",), 64),
        Field("n_layer", ("num_layers",), 2),
        Field("n_head", ("num_heads",), 8),
        Field("seq_length", ("max_length",), 2048),
        Field("layer_norm_epsilon", ("norm.eps",), 1e-5),
        Field("tie_word_embeddings", ("heads.language_model.tied",), True),
        Field("hidden_dropout", ("dropout.residual",), 0.0),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={
        **REQUIRED,
        "apply_residual_connection_post_layernorm": (False,),
        "is_encoder_decoder": (False,),
        "n_inner": (None,),  # never read there: always 4 times the width
        "skip_bias_add_qkv": (False,),
    },
    harmless=HARMLESS
    | {
        "attention_softmax_in_fp32",  # rounding only, like the next ones
        "bias_dropout_fusion",
        "masked_softmax_fusion",
        "offset_alibi",  # never read
        "pad_token_id",  # has no special row; a classifier there ends a text by it, ours by documents (docs/folders.md)
        "pretraining_tp",  # the same product, cut into slices
        "skip_bias_add",  # never read
        "slow_but_exact",
        "unk_token_id",
    },
    weights=weights,
    together=(classifier_dropout(("heads.token_classification.dropout",), otherwise="hidden_dropout"),),
    modernize=modernize,
    prefix="transformer",
)
ARCHITECTURES.add(BLOOM.name, BLOOM)
