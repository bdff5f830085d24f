"""GPT-2: Radford et al. 2019, Language Models are Unsupervised Multitask Learners.

Its linear layers are stored (in, out), and queries, keys and values as one matrix.
"""

from __future__ import annotations

from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Rule,
    tied,
    under,
)
from zoo.interop.labels import OF_DECODERS, TOKEN_DROPOUT
from zoo.interop.layouts import Stacked
from zoo.models import ModelConfig

IN_OUT = Stacked(transposed=True)
BLOCK = "backbone.stack.blocks.{layer}"
NORMS = {"ln_1": "self_attention.before", "ln_2": "feed_forward.before"}
MATRICES = {
    "attn.c_proj": "self_attention.sublayer.output",
    "mlp.c_fc": "feed_forward.sublayer.input",
    "mlp.c_proj": "feed_forward.sublayer.output",
}
SUMMARY = frozenset(
    f"summary_{field}" for field in ("activation", "first_dropout", "proj_to_labels", "type", "use_proj")
)
"""Of a head for multiple choice."""
SCALES = {True: {"kind": "inverse_sqrt"}, False: {"kind": "constant", "value": 1.0}}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of GPT-2 is with us."""
    fused = tuple(f"{BLOCK}.self_attention.sublayer.project.{part}" for part in ("query", "key", "value"))
    return (
        Rule("transformer.wte", ("backbone.embedding.tokens",), also=("lm_head",) if tied(config) else ()),
        Rule("transformer.wpe", ("backbone.stack.schemes.0.table",)),
        Rule("transformer.h.{layer}.attn.c_attn", fused, IN_OUT),
        *under("transformer.h.{layer}", BLOCK, MATRICES, IN_OUT),
        *under("transformer.h.{layer}", BLOCK, NORMS),
        Rule("transformer.ln_f", ("backbone.stack.norm",)),
        Rule("lm_head", ("heads.language_model.output",)),
        Rule("score", ("heads.sequence_classification.output",)),
        Rule("classifier", ("heads.token_classification.output",)),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
    )


GPT2 = Architecture(
    name="gpt2",
    opens="GPT-2, DistilGPT-2",
    paper="Radford et al. 2019",
    described="2019-02",
    classes={
        "GPT2LMHeadModel": ("language_model",),
        "GPT2ForSequenceClassification": ("sequence_classification",),
        "GPT2ForTokenClassification": ("token_classification",),
        "GPT2ForQuestionAnswering": ("span_extraction",),
        "GPT2Model": (),
    },
    constant={
        "kind": "decoder",
        "placement": "pre",
        "norm": {"kind": "layer_norm"},
        "positions": {"kind": "learned"},
        "feed_forward": {"kind": "plain"},
        "heads": {"language_model": {"kind": "language_model"}, **OF_DECODERS},
        "initialization": {"kind": "gpt2"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 50257),
        Field("n_embd", ("dim",), 768),
        Field("n_layer", ("num_layers",), 12),
        Field("n_head", ("num_heads",), 12),
        Field("n_inner", ("feed_forward_dim",)),
        Field("n_positions", ("max_length",), 1024),
        Field(
            "activation_function",
            ("feed_forward.activation",),
            "gelu_new",
            {"gelu_new": "gelu_tanh"} | ACTIVATION_NAMES,
        ),
        Field("layer_norm_epsilon", ("norm.eps",), 1e-5),
        Field("scale_attn_weights", ("attention.scale",), True, SCALES),
        Field("tie_word_embeddings", ("heads.language_model.tied",), True),
        Field("resid_pdrop", ("dropout.residual",), 0.1),
        Field("embd_pdrop", ("dropout.embedding",), 0.1),
        Field("attn_pdrop", ("dropout.attention",), 0.1),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={**REQUIRED, "is_encoder_decoder": (False,), "scale_attn_by_inverse_layer_idx": (False,)},
    harmless=HARMLESS
    | {
        "n_ctx",  # never read, like the next one
        "n_special",
        "pad_token_id",  # has no special row; a classifier there ends a text by it, ours by documents (docs/folders.md)
        "predict_special_tokens",  # never read
        "reorder_and_upcast_attn",  # rounding only
        *SUMMARY,
    },
    other_heads=SUMMARY,
    weights=weights,
    together=(TOKEN_DROPOUT,),
    ignored=("transformer.h.{layer}.attn.bias", "transformer.h.{layer}.attn.masked_bias"),  # causal masks
    prefix="transformer",
)
ARCHITECTURES.add(GPT2.name, GPT2)
