"""Llama: Touvron et al. 2023, arXiv:2302.13971; grouped heads as in Llama 2, arXiv:2307.09288.

Scaled rotary frequencies as in Llama 3.1, arXiv:2407.21783.
"""

from __future__ import annotations

from collections.abc import Mapping

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
from zoo.interop.rope import modernize as with_rope_parameters
from zoo.interop.rope import rope
from zoo.models import ModelConfig

ATTENTION = {
    "self_attn.q_proj": "self_attention.sublayer.project.query",
    "self_attn.k_proj": "self_attention.sublayer.project.key",
    "self_attn.v_proj": "self_attention.sublayer.project.value",
    "self_attn.o_proj": "self_attention.sublayer.output",
}
FEED_FORWARD = {
    "mlp.gate_proj": "feed_forward.sublayer.gate",
    "mlp.up_proj": "feed_forward.sublayer.input",
    "mlp.down_proj": "feed_forward.sublayer.output",
}
QUERY_KEY_NORM = {
    "self_attn.q_norm": "self_attention.sublayer.query_norm",
    "self_attn.k_norm": "self_attention.sublayer.key_norm",
}
PRE_NORM = {
    "input_layernorm": "self_attention.before",
    "post_attention_layernorm": "feed_forward.before",
}
LAYER = ATTENTION | FEED_FORWARD | PRE_NORM


def rules(config: ModelConfig, layer: Mapping[str, str], base: str = "model") -> tuple[Rule, ...]:
    """Where each module of an architecture is with us whose modules have Llama's names, but for those of a layer.

    Args:
        config: ours. layer: the modules of a layer, their name → ours.
        base: what the base model is called.
    """
    return (
        Rule(f"{base}.embed_tokens", ("backbone.embedding.tokens",), also=("lm_head",) if tied(config) else ()),
        *under(f"{base}.layers.{{layer}}", "backbone.stack.blocks.{layer}", layer),
        Rule(f"{base}.norm", ("backbone.stack.norm",)),
        Rule("lm_head", ("heads.language_model.output",)),
        Rule("score", ("heads.sequence_classification.output",)),
        Rule("score", ("heads.token_classification.output",)),
        Rule("qa_outputs", ("heads.span_extraction.output",)),
    )


def base_name(config: ModelConfig) -> str:
    """What the base model is called: beside the head that marks a span it has the name of older days."""
    return "transformer" if "span_extraction" in config.heads else "model"


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of Llama is with us."""
    return rules(config, LAYER, base_name(config))


def modernize(config: Mapped) -> Mapped:
    """`rope_parameters` for what older files say, and no padding token where it is −1, as in the first of them."""
    if config.get("pad_token_id") == -1:
        config["pad_token_id"] = None
    return with_rope_parameters(config)


LLAMA = Architecture(
    name="llama",
    opens="Llama, Llama 2, Llama 3 to 3.3, and others in their shape",
    paper="arXiv:2302.13971",
    described="2023-02",
    classes={
        "LlamaForCausalLM": ("language_model",),
        "LlamaForSequenceClassification": ("sequence_classification",),
        "LlamaForTokenClassification": ("token_classification",),
        "LlamaForQuestionAnswering": ("span_extraction",),
        "LlamaModel": (),
    },
    constant={
        "kind": "decoder",
        "placement": "pre",
        "norm": {"kind": "rms_norm"},
        "positions": {"kind": "rotary"},
        "feed_forward": {"kind": "gated"},
        "heads": {"language_model": {"kind": "language_model"}, **OF_DECODERS},
        "initialization": {"kind": "gpt2"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 32000),
        Field("hidden_size", ("dim",), 4096),
        Field("num_hidden_layers", ("num_layers",), 32),
        Field("num_attention_heads", ("num_heads",), 32),
        Field("num_key_value_heads", ("num_kv_heads",)),
        Field("head_dim", ("head_dim",)),
        Field("intermediate_size", ("feed_forward_dim",), 11008),
        Field("max_position_embeddings", ("max_length",), 2048),
        Field("hidden_act", ("feed_forward.activation",), "silu", ACTIVATION_NAMES),
        Field("rms_norm_eps", ("norm.eps",), 1e-6),
        Field("attention_bias", ATTENTION_BIASES, False),
        Field("mlp_bias", ("feed_forward.bias",), False),
        Field("tie_word_embeddings", ("heads.language_model.tied",), False),
        Field("pad_token_id", ("embedding.padding_token",)),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "rope_interleaved": (False,),  # never read; of SmolLM
        "rope_parameters.partial_rotary_factor": (1.0, 1, None),
    },
    harmless=HARMLESS
    | {
        "is_llama_config",  # never read; of SmolLM
        "max_sequence_length",  # never read: max_position_embeddings is
        "pretraining_tp",  # the same product, cut into slices
    },
    weights=weights,
    together=(rope(), TOKEN_DROPOUT),
    ignored=("model.layers.{layer}.self_attn.rotary_emb.inv_freq",),
    renamed={"LLaMAForCausalLM": "LlamaForCausalLM"},
    modernize=modernize,
    prefix="model",
)
ARCHITECTURES.add(LLAMA.name, LLAMA)
