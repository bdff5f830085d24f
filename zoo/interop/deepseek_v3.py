"""DeepSeek-V3: DeepSeek-AI 2024, arXiv:2412.19437.

Keys and values come from a latent; all layers but the first few are mixtures of experts, chosen by sigmoid scores and a
bias that keeps loads equal. In each head of a query the rotated channels come last there and first with us. The
layers that predict more than the next token stand behind the others in its files and are not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from zoo.errors import ConfigError
from zoo.interop.base import (
    ACTIVATION_NAMES,
    ARCHITECTURES,
    HARMLESS,
    REQUIRED,
    Architecture,
    Field,
    Mapped,
    Rule,
    Together,
    under,
    with_one_name,
)
from zoo.interop.labels import LAST_TOKEN, TOKEN_DROPOUT, TOKENS
from zoo.interop.layer_types import changes_for
from zoo.interop.layouts import ByHead, FirstRowsLast
from zoo.interop.llama import FEED_FORWARD, PRE_NORM, rules
from zoo.interop.rope import modernize as with_rope_parameters
from zoo.interop.rope import rope
from zoo.models import ModelConfig
from zoo.nn.latent_attention import LatentAttentionConfig
from zoo.nn.mixture import MixtureConfig
from zoo.nn.positions.rotary import RotaryConfig

BLOCK = "backbone.stack.blocks.{layer}"
ATTENTION = {
    "q_a_proj": "project.query_latent",
    "q_a_layernorm": "project.query_norm",
    "kv_a_layernorm": "project.key_value_norm",
    "o_proj": "output",
}
EXPERT = {"gate_proj": "gate", "up_proj": "input", "down_proj": "output"}


def weights(config: ModelConfig) -> tuple[Rule, ...]:
    """Where each module of DeepSeek-V3 is with us; each expert has names of its own."""
    attention = config.attention
    assert isinstance(attention, LatentAttentionConfig)
    heads = config.attention_heads
    theirs, ours = "model.layers.{layer}.self_attn", f"{BLOCK}.self_attention.sublayer"
    query = "q_proj" if attention.query_rank is None else "q_b_proj"
    latent, own = ("key_value_latent", "shared_key"), ("key", "value")
    mixture, sublayer = "model.layers.{layer}.mlp", f"{BLOCK}.feed_forward.sublayer"
    return (
        *rules(config, FEED_FORWARD | PRE_NORM),
        *under(theirs, ours, ATTENTION),
        Rule(
            f"{theirs}.{query}",
            (f"{ours}.project.query",),
            FirstRowsLast(heads.num_heads, attention.widths(heads).shared),
        ),
        Rule(f"{theirs}.kv_a_proj_with_mqa", tuple(f"{ours}.project.{part}" for part in latent)),
        Rule(f"{theirs}.kv_b_proj", tuple(f"{ours}.project.{part}" for part in own), ByHead(heads.num_heads)),
        Rule(f"{mixture}.gate", (f"{sublayer}.router.project",)),
        Rule(f"{mixture}.gate.e_score_correction_bias", (f"{sublayer}.router.balancing.bias",), tensors=True),
        *under(f"{mixture}.experts.{{expert}}", f"{sublayer}.experts.{{expert}}", EXPERT),
        *under(f"{mixture}.shared_experts", f"{sublayer}.shared", EXPERT),
    )


_FURTHER = re.compile(r"((?:model\.)?layers\.(\d+))\.eh_proj\.weight")
"""What only a layer has that predicts further tokens: it joins a token and what is known before it."""


def further_layers(theirs: Mapped, names: Iterable[str]) -> list[str]:
    """The layers behind the last that predict further tokens (section 2.2), with norms and an output of their own."""
    found = [match for name in names if (match := _FURTHER.fullmatch(name))]
    return [match[1] for match in found if int(match[2]) >= theirs.get("num_hidden_layers", 61)]


# ------------------------------------------------------------------------------------------------------------ attention


def read_attention(theirs: Mapped) -> Mapped:
    """The widths of a head, which part of it rotates and how, and the factor on the scores."""
    rotated, still = theirs.get("qk_rope_head_dim", 64), theirs.get("qk_nope_head_dim", 128)
    return {
        "head_dim": rotated + still,
        "attention.shared_key_dim": rotated,
        "positions.width": rotated,
        "attention.scale": _scale(theirs, rotated + still),
    }


def _scale(theirs: Mapped, head_dim: int) -> Mapped:
    """1/√width, and with YaRN the square of another factor."""
    sharpened = theirs.get("rope_parameters.mscale_all_dim")
    if theirs.get("rope_parameters.rope_type", "default") == "default" or not sharpened:
        return {"kind": "inverse_sqrt"}
    factor = 0.1 * sharpened * math.log(theirs["rope_parameters.factor"]) + 1.0
    return {"kind": "constant", "value": head_dim**-0.5 * factor * factor}


def write_attention(config: ModelConfig) -> Mapped:
    """The widths of the two parts of a head; the factor on the scores follows from the rotation."""
    attention, positions = config.attention, config.positions
    assert isinstance(attention, LatentAttentionConfig)
    assert isinstance(positions, RotaryConfig)
    heads = config.attention_heads
    shared = attention.widths(heads).shared
    return {
        "num_key_value_heads": heads.num_heads,  # 128 there where it is left out, whatever the heads are
        "qk_rope_head_dim": shared,
        "qk_nope_head_dim": heads.head_dim - shared,
    }


# --------------------------------------------------------------------------------------------------------- feed-forward


MIXTURE = {
    "num_experts": "n_routed_experts",
    "num_shared_experts": "n_shared_experts",
    "router.groups.num_groups": "n_group",
    "router.groups.top_groups": "topk_group",
    "router.normalize": "norm_topk_prob",
    "router.scale": "routed_scaling_factor",
    "top_k": "num_experts_per_tok",
}
"""Settings of a mixture and what each is called there."""


def read_mixture(theirs: Mapped) -> Mapped:
    """Plain layers first, then mixtures; where there is no plain layer, the mixture is that of all."""
    num_layers = theirs["num_hidden_layers"]
    num_groups, top_groups = theirs.get("n_group", 8), theirs.get("topk_group", 4)
    groups = None if num_groups == top_groups else {"num_groups": num_groups, "top_groups": top_groups}
    mixture = {
        "kind": "mixture",
        "expert": "gated",
        "bias": False,
        "activation": ACTIVATION_NAMES.get(theirs["hidden_act"], theirs["hidden_act"]),
        "num_experts": theirs.get("n_routed_experts", 256),
        "top_k": theirs.get("num_experts_per_tok", 8),
        "num_shared_experts": theirs.get("n_shared_experts", 1),
        "router": {
            "scoring": "sigmoid",
            "normalize": theirs.get("norm_topk_prob", True),
            "scale": theirs.get("routed_scaling_factor", 2.5),
            "groups": groups,
            "balancing": {"kind": "bias"},
        },
    }
    change = {"feed_forward": mixture, "feed_forward_dim": theirs.get("moe_intermediate_size", 2048)}
    first = theirs.get("first_k_dense_replace", 3)
    if first == 0:
        return change
    plain = {
        "feed_forward": {"kind": "gated", "bias": False},
        "feed_forward_dim": theirs.get("intermediate_size", 18432),
    }
    return {**plain, "layers": changes_for([layer >= first for layer in range(num_layers)], change)}


def write_mixture(config: ModelConfig) -> Mapped:
    """The numbers of the mixtures, which must all be the same one and stand behind all plain layers."""
    layers = config.layer_configs()
    mixtures = [layer for layer in layers if isinstance(layer.feed_forward, MixtureConfig)]
    plain = [layer for layer in layers if layer not in mixtures]
    width = {"intermediate_size": plain[0].inner_dim} if plain else {}
    if not mixtures:
        return {"first_k_dense_replace": len(layers), **width}
    mixture = mixtures[0].feed_forward
    assert isinstance(mixture, MixtureConfig)
    groups = mixture.router.groups
    return {
        **width,
        "first_k_dense_replace": len(plain),
        "moe_intermediate_size": mixtures[0].inner_dim,
        "n_routed_experts": mixture.num_experts,
        "num_experts_per_tok": mixture.top_k,
        "n_shared_experts": mixture.num_shared_experts,
        "norm_topk_prob": mixture.router.normalize,
        "routed_scaling_factor": mixture.router.scale,
        "n_group": groups.num_groups if groups else 1,
        "topk_group": groups.top_groups if groups else 1,
    }


# ---------------------------------------------------------------------------------------------------------------- table


def modernize(config: Mapped) -> Mapped:
    """One name for each number, without fields that follow from others."""
    config = with_one_name(config, {"num_local_experts": "n_routed_experts"})
    rotated, still = config.get("qk_rope_head_dim", 64), config.get("qk_nope_head_dim", 128)
    heads = config.get("num_attention_heads", 128)
    repeats = {"head_dim": rotated, "qk_head_dim": rotated + still, "num_key_value_heads": heads}
    for name, expected in repeats.items():
        if config.pop(name, None) not in (None, expected):
            raise ConfigError(f"must be {expected}, as follows from other fields", name)
    return with_rope_parameters(config)


DEEPSEEK_V3 = Architecture(
    name="deepseek_v3",
    opens="DeepSeek-V3, DeepSeek-R1 in BF16",
    paper="arXiv:2412.19437",
    described="2024-12",
    classes={
        "DeepseekV3ForCausalLM": ("language_model",),
        "DeepseekV3ForSequenceClassification": ("sequence_classification",),
        "DeepseekV3ForTokenClassification": ("token_classification",),
        "DeepseekV3Model": (),
    },
    constant={
        "kind": "decoder",
        "placement": "pre",
        "norm": {"kind": "rms_norm"},
        "positions": {"kind": "rotary"},
        "attention": {"kind": "latent", "latent_norm": {"kind": "rms_norm", "eps": 1e-6}},
        "heads": {
            "language_model": {"kind": "language_model"},
            "sequence_classification": LAST_TOKEN,
            "token_classification": TOKENS,
        },
        "initialization": {"kind": "gpt2"},
    },
    fields=(
        Field("vocab_size", ("vocab_size",), 129280),
        Field("hidden_size", ("dim",), 7168),
        Field("num_hidden_layers", ("num_layers",), 61),
        Field("num_attention_heads", ("num_heads",), 128),
        Field("q_lora_rank", ("attention.query_rank",), 1536),
        Field("kv_lora_rank", ("attention.key_value_rank",), 512),
        Field("v_head_dim", ("attention.value_dim",), 128),
        Field("attention_bias", ("attention.latent_bias", "attention.output_bias"), False),
        Field("rope_interleave", ("positions.layout",), True, {True: "interleaved", False: "half"}),
        Field("hidden_act", ("feed_forward.activation",), "silu", ACTIVATION_NAMES),
        Field("max_position_embeddings", ("max_length",), 4096),
        Field("rms_norm_eps", ("norm.eps",), 1e-6),
        Field("tie_word_embeddings", ("heads.language_model.tied",), False),
        Field("pad_token_id", ("embedding.padding_token",)),
        Field("attention_dropout", ("dropout.attention",), 0.0),
        Field("initializer_range", ("initialization.std", "initialization.position_std"), 0.02),
    ),
    required={
        **REQUIRED,
        "is_encoder_decoder": (False,),
        "moe_layer_freq": (1,),
        "rope_parameters.partial_rotary_factor": (1.0, 1, None),
        "scoring_func": ("sigmoid",),
        "topk_method": ("noaux_tc",),
    },
    harmless=HARMLESS
    | {
        "aux_loss_alpha",  # of training, like the next one
        "seq_aux",
        "ep_size",  # how it is computed
        "num_mtp_layers",  # of modules beside the model, like the next one
        "num_nextn_predict_layers",
        "output_router_logits",
        "pretraining_tp",
    },
    weights=weights,
    together=(
        TOKEN_DROPOUT,
        rope(),
        Together(
            ("qk_rope_head_dim", "qk_nope_head_dim"),
            read_attention,
            write_attention,
            ours={"attention.shared_key_dim": "qk_nope_head_dim", "head_dim": "qk_nope_head_dim"},
        ),
        Together(
            ("first_k_dense_replace", "intermediate_size", "moe_intermediate_size", *MIXTURE.values()),
            read_mixture,
            write_mixture,
            ours={f"feed_forward.{ours}": name for ours, name in MIXTURE.items()},
        ),
    ),
    modernize=modernize,
    prefix="model",
    apart=further_layers,
)
ARCHITECTURES.add(DEEPSEEK_V3.name, DEEPSEEK_V3)
