"""What is compared: foreign classes with odd-sized configs, and how each is called.

A case is one foreign model. Its batches, its mutations and its round trip come from what our config of it is
(`parity.py`, `mutations.py`): a new architecture needs a case here, and no test code.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    BartConfig,
    BertConfig,
    BloomConfig,
    DeepseekV3Config,
    DistilBertConfig,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MarianConfig,
    MistralConfig,
    ModernBertConfig,
    MT5Config,
    Olmo2Config,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
    T5Config,
)
from transformers.core_model_loading import revert_weight_conversion
from transformers.models.albert.modeling_albert import AlbertForMaskedLM, AlbertForPreTraining
from transformers.models.bart.modeling_bart import BartForConditionalGeneration
from transformers.models.bert.modeling_bert import BertForPreTraining
from transformers.models.bloom.modeling_bloom import BloomForCausalLM, BloomGelu, bloom_gelu_forward
from transformers.models.deepseek_v3.modeling_deepseek_v3 import DeepseekV3ForCausalLM, DeepseekV3TopkRouter
from transformers.models.distilbert.modeling_distilbert import DistilBertForMaskedLM
from transformers.models.gemma2.modeling_gemma2 import Gemma2ForCausalLM
from transformers.models.gpt2.modeling_gpt2 import GPT2LMHeadModel
from transformers.models.gpt_neox.modeling_gpt_neox import GPTNeoXForCausalLM
from transformers.models.llama.modeling_llama import LlamaForCausalLM
from transformers.models.marian.modeling_marian import MarianMTModel, MarianSinusoidalPositionalEmbedding
from transformers.models.mistral.modeling_mistral import MistralForCausalLM
from transformers.models.modernbert.modeling_modernbert import ModernBertForMaskedLM
from transformers.models.mt5.modeling_mt5 import MT5ForConditionalGeneration
from transformers.models.olmo2.modeling_olmo2 import Olmo2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM
from transformers.models.roberta.modeling_roberta import RobertaForMaskedLM
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from tests.oracle import randomize

VOCAB = 37
PADDING = 0
LENGTHS, LONGEST = (13, 8, 5), 13
TARGET_LENGTHS, LONGEST_TARGET = (6, 9, 3), 9


def as_built(model: nn.Module) -> None:
    """Nothing to mend."""


class Case(NamedTuple):
    """A foreign class, its config, and the table that maps them.

    Attributes:
        architecture: name of the table.
        model_class, config: of transformers.
        takes_positions: whether its forward takes `position_ids`; else it counts from the start of the row.
        eager: whether only its plain attention does all that it should.
        order: which two fields its sentence-pair head has: `next_sentence` or `sentence_order`.
        mend: what must be done to a model of it before it can be compared.
    """

    architecture: str
    model_class: Any
    config: Any
    takes_positions: bool = True
    eager: bool = False
    order: str = "next_sentence"
    mend: Callable[[Any], None] = as_built


def with_an_output_layer(model: Any) -> None:
    """T5 v1.1's output layer is free, as in its files: transformers ties it whatever the config says."""
    if not hasattr(model, "lm_head"):
        return
    model.lm_head.weight = nn.Parameter(torch.empty_like(model.shared.weight))
    randomize(model, seed=2)


def with_the_derivative_of_its_gelu(model: Any) -> None:
    """BLOOM's GELU has a derivative of its own, with a constant of ten digits: good to 1e-10 only."""
    for module in model.modules():
        if isinstance(module, BloomGelu):
            module.forward = bloom_gelu_forward


@torch.no_grad()
def with_a_bias_and_sinusoids(model: Any) -> None:
    """The bias of the logits stays zero there, and Marian's table is as random as weights: both are filled here."""
    if hasattr(model, "final_logits_bias"):
        bias = model.final_logits_bias
        del model.final_logits_bias
        generator = torch.Generator().manual_seed(2)
        model.final_logits_bias = nn.Parameter(torch.randn(bias.shape, generator=generator, dtype=bias.dtype))
    with_sinusoids(model)


@torch.no_grad()
def with_sinusoids(model: Any) -> None:
    """Marian's table in float64; theirs is rounded to float32 whatever the weights are."""
    for module in model.modules():
        if isinstance(module, MarianSinusoidalPositionalEmbedding):
            length, dim = module.weight.shape
            angles = torch.arange(length)[:, None] / 10_000 ** (torch.arange(0, dim, 2).double() / dim)
            module.weight.copy_(torch.cat((angles.sin(), angles.cos()), dim=1))


@torch.no_grad()
def with_router_biases(model: Any) -> None:
    """The biases by which experts are chosen start at zero; here they decide something. Also the loop over experts.

    Its grouped product knows no float64.
    """
    model.set_experts_implementation("eager")
    generator = torch.Generator().manual_seed(2)
    for module in model.modules():
        if isinstance(module, DeepseekV3TopkRouter):
            bias = module.e_score_correction_bias
            bias.copy_(0.3 * torch.randn(bias.shape, generator=generator, dtype=bias.dtype))


def layers_of_modernbert(types: str) -> ModernBertConfig:
    """A small ModernBERT with these layers: `s` slides, `f` sees all."""
    return ModernBertConfig(
        vocab_size=VOCAB,
        hidden_size=12,
        num_hidden_layers=len(types),
        num_attention_heads=3,
        intermediate_size=17,
        max_position_embeddings=17,
        local_attention=4,
        norm_eps=1e-3,
        layer_types=["sliding_attention" if kind == "s" else "full_attention" for kind in types],
        pad_token_id=PADDING,
        bos_token_id=None,
        eos_token_id=None,
        cls_token_id=None,
        sep_token_id=None,
        rope_parameters={
            "full_attention": {"rope_type": "default", "rope_theta": 500.0},
            "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
        },
    )


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
    "albert": Case(
        "albert",
        AlbertForPreTraining,
        AlbertConfig(
            vocab_size=VOCAB,
            embedding_size=10,
            hidden_size=21,
            num_hidden_layers=4,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            layer_norm_eps=1e-3,
        ),
        order="sentence_order",
    ),
    "albert in two groups": Case(
        "albert",
        AlbertForMaskedLM,
        AlbertConfig(
            vocab_size=VOCAB,
            embedding_size=15,
            hidden_size=15,
            num_hidden_layers=4,
            num_hidden_groups=2,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            layer_norm_eps=1e-3,
            hidden_act="relu",
            pad_token_id=None,
        ),
    ),
    "roberta": Case(
        "roberta",
        RobertaForMaskedLM,
        RobertaConfig(
            vocab_size=VOCAB,
            hidden_size=21,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            type_vocab_size=1,
            layer_norm_eps=1e-3,
            hidden_act="relu",
        ),
    ),
    "roberta with another padding token and segments": Case(
        "roberta",
        RobertaForMaskedLM,
        RobertaConfig(
            vocab_size=VOCAB,
            hidden_size=15,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            layer_norm_eps=1e-3,
            pad_token_id=PADDING,
        ),
    ),
    "distilbert": Case(
        "distilbert",
        DistilBertForMaskedLM,
        DistilBertConfig(
            vocab_size=VOCAB,
            dim=21,
            n_layers=3,
            n_heads=3,
            hidden_dim=29,
            max_position_embeddings=17,
            activation="relu",
        ),
    ),
    "distilbert without a padding token": Case(
        "distilbert",
        DistilBertForMaskedLM,
        DistilBertConfig(
            vocab_size=VOCAB,
            dim=15,
            n_layers=2,
            n_heads=3,
            hidden_dim=25,
            max_position_embeddings=17,
            pad_token_id=None,
        ),
    ),
    "modernbert": Case(
        "modernbert",
        ModernBertForMaskedLM,
        ModernBertConfig(
            vocab_size=VOCAB,
            hidden_size=18,
            num_hidden_layers=5,
            num_attention_heads=3,
            intermediate_size=25,
            max_position_embeddings=17,
            local_attention=6,
            norm_eps=1e-3,
            global_attn_every_n_layers=3,
            pad_token_id=PADDING,
            bos_token_id=None,
            eos_token_id=None,
            cls_token_id=None,
            sep_token_id=None,
            rope_parameters={
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            },
        ),
    ),
    "modernbert untied with biases": Case(
        "modernbert",
        ModernBertForMaskedLM,
        ModernBertConfig(
            vocab_size=VOCAB,
            hidden_size=12,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=25,
            max_position_embeddings=17,
            local_attention=5,
            norm_eps=1e-3,
            norm_bias=True,
            attention_bias=True,
            mlp_bias=True,
            classifier_bias=True,
            decoder_bias=False,
            hidden_activation="gelu_pytorch_tanh",
            layer_types=["sliding_attention", "sliding_attention", "full_attention"],
            tie_word_embeddings=False,
            pad_token_id=None,
            bos_token_id=None,
            eos_token_id=None,
            cls_token_id=None,
            sep_token_id=None,
        ),
    ),
    "modernbert, irregular from a sliding first layer on": Case(
        "modernbert", ModernBertForMaskedLM, layers_of_modernbert("sfssf")
    ),
    "modernbert, only the first layer slides": Case("modernbert", ModernBertForMaskedLM, layers_of_modernbert("sff")),
    "modernbert, all layers slide": Case("modernbert", ModernBertForMaskedLM, layers_of_modernbert("ss")),
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
            layer_norm_epsilon=1e-3,
            activation_function="relu",
            scale_attn_weights=False,
            tie_word_embeddings=False,
        ),
    ),
    "gpt_neox": Case(
        "gpt_neox",
        GPTNeoXForCausalLM,
        GPTNeoXConfig(
            vocab_size=VOCAB,
            hidden_size=21,
            num_hidden_layers=3,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            layer_norm_eps=1e-3,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0, "partial_rotary_factor": 0.6},
        ),
    ),
    "gpt_neox one after the other, tied, without biases": Case(
        "gpt_neox",
        GPTNeoXForCausalLM,
        GPTNeoXConfig(
            vocab_size=VOCAB,
            hidden_size=18,
            num_hidden_layers=2,
            num_attention_heads=3,
            intermediate_size=29,
            max_position_embeddings=17,
            layer_norm_eps=1e-3,
            hidden_act="gelu_new",
            use_parallel_residual=False,
            attention_bias=False,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "linear", "rope_theta": 500.0, "factor": 3.0, "partial_rotary_factor": 1.0},
        ),
    ),
    "bloom": Case(
        "bloom",
        BloomForCausalLM,
        BloomConfig(vocab_size=VOCAB, hidden_size=15, n_layer=3, n_head=3, layer_norm_epsilon=1e-3),
        takes_positions=False,
        mend=with_the_derivative_of_its_gelu,
    ),
    "gemma2": Case(
        "gemma2",
        Gemma2ForCausalLM,
        Gemma2Config(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            query_pre_attn_scalar=7,
            sliding_window=4,
            attn_logit_softcapping=1.5,
            final_logit_softcapping=2.5,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
        eager=True,
    ),
    "gemma2 without caps, untied, with biases": Case(
        "gemma2",
        Gemma2ForCausalLM,
        Gemma2Config(
            vocab_size=VOCAB,
            hidden_size=18,
            intermediate_size=25,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=4,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            query_pre_attn_scalar=4,
            sliding_window=3,
            layer_types=["full_attention", "sliding_attention"],
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            attention_bias=True,
            tie_word_embeddings=False,
            pad_token_id=None,
        ),
        eager=True,
    ),
    "deepseek_v3": Case(
        "deepseek_v3",
        DeepseekV3ForCausalLM,
        DeepseekV3Config(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            moe_intermediate_size=9,
            num_hidden_layers=3,
            num_attention_heads=3,
            num_key_value_heads=3,
            n_shared_experts=2,
            n_routed_experts=8,
            num_experts_per_tok=3,
            n_group=4,
            topk_group=2,
            first_k_dense_replace=1,
            q_lora_rank=11,
            kv_lora_rank=13,
            qk_rope_head_dim=8,
            qk_nope_head_dim=5,
            v_head_dim=7,
            max_position_embeddings=34,
            rms_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 20.0,
                "factor": 2.0,
                "beta_fast": 0.5,
                "beta_slow": 0.2,
                "mscale": 0.7,
                "mscale_all_dim": 1.1,
                "original_max_position_embeddings": 17,
            },
        ),
        mend=with_router_biases,
    ),
    "deepseek_v3 without a latent of queries, in halves": Case(
        "deepseek_v3",
        DeepseekV3ForCausalLM,
        DeepseekV3Config(
            vocab_size=VOCAB,
            hidden_size=16,
            intermediate_size=27,
            moe_intermediate_size=9,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            n_shared_experts=1,
            n_routed_experts=5,
            num_experts_per_tok=2,
            n_group=1,
            topk_group=1,
            norm_topk_prob=False,
            first_k_dense_replace=0,
            q_lora_rank=None,
            kv_lora_rank=13,
            qk_rope_head_dim=6,
            qk_nope_head_dim=3,
            v_head_dim=4,
            rope_interleave=False,
            attention_bias=True,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
        ),
        mend=with_router_biases,
    ),
    "mistral": Case(
        "mistral",
        MistralForCausalLM,
        MistralConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            sliding_window=4,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
    ),
    "mistral tied, scaled, without a window": Case(
        "mistral",
        MistralForCausalLM,
        MistralConfig(
            vocab_size=VOCAB,
            hidden_size=18,
            intermediate_size=25,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=24,
            rms_norm_eps=1e-3,
            sliding_window=None,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 20.0,
                "factor": 4.0,
                "beta_fast": 0.5,
                "beta_slow": 0.2,
                "original_max_position_embeddings": 6,
            },
        ),
    ),
    "qwen2": Case(
        "qwen2",
        Qwen2ForCausalLM,
        Qwen2Config(
            vocab_size=VOCAB,
            hidden_size=24,
            intermediate_size=27,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            use_sliding_window=True,
            sliding_window=4,
            max_window_layers=1,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
    ),
    "qwen2 tied, with a head width of its own": Case(
        "qwen2",
        Qwen2ForCausalLM,
        Qwen2Config(
            vocab_size=VOCAB,
            hidden_size=18,
            intermediate_size=25,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=4,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
        ),
    ),
    "qwen3": Case(
        "qwen3",
        Qwen3ForCausalLM,
        Qwen3Config(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=6,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            use_sliding_window=True,
            sliding_window=4,
            max_window_layers=1,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
    ),
    "qwen3 tied with biases": Case(
        "qwen3",
        Qwen3ForCausalLM,
        Qwen3Config(
            vocab_size=VOCAB,
            hidden_size=18,
            intermediate_size=25,
            num_hidden_layers=2,
            num_attention_heads=3,
            num_key_value_heads=1,
            head_dim=4,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            attention_bias=True,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
        ),
    ),
    "olmo2": Case(
        "olmo2",
        Olmo2ForCausalLM,
        Olmo2Config(
            vocab_size=VOCAB,
            hidden_size=24,
            intermediate_size=27,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            pad_token_id=PADDING,
            rope_parameters={"rope_type": "default", "rope_theta": 500.0},
        ),
    ),
    "olmo2 tied with biases": Case(
        "olmo2",
        Olmo2ForCausalLM,
        Olmo2Config(
            vocab_size=VOCAB,
            hidden_size=18,
            intermediate_size=25,
            num_hidden_layers=2,
            num_attention_heads=3,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            attention_bias=True,
            tie_word_embeddings=True,
            pad_token_id=None,
            eos_token_id=1,
        ),
    ),
    "bart": Case(
        "bart",
        BartForConditionalGeneration,
        BartConfig(
            vocab_size=VOCAB,
            d_model=21,
            encoder_layers=3,
            decoder_layers=2,
            encoder_attention_heads=3,
            decoder_attention_heads=7,
            encoder_ffn_dim=29,
            decoder_ffn_dim=25,
            max_position_embeddings=17,
            scale_embedding=True,
            pad_token_id=PADDING,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
        ),
        takes_positions=False,
        mend=with_a_bias_and_sinusoids,
    ),
    "bart with equal sides": Case(
        "bart",
        BartForConditionalGeneration,
        BartConfig(
            vocab_size=VOCAB,
            d_model=15,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=3,
            decoder_attention_heads=3,
            encoder_ffn_dim=29,
            decoder_ffn_dim=29,
            max_position_embeddings=17,
            activation_function="relu",
            pad_token_id=PADDING,
            decoder_start_token_id=2,
            forced_eos_token_id=None,
        ),
        takes_positions=False,
        mend=with_a_bias_and_sinusoids,
    ),
    "marian": Case(
        "marian",
        MarianMTModel,
        MarianConfig(
            vocab_size=VOCAB,
            d_model=18,
            encoder_layers=2,
            decoder_layers=3,
            encoder_attention_heads=2,
            decoder_attention_heads=6,
            encoder_ffn_dim=29,
            decoder_ffn_dim=25,
            max_position_embeddings=17,
            activation_function="swish",
            scale_embedding=True,
            pad_token_id=PADDING,
            decoder_start_token_id=PADDING,
            forced_eos_token_id=None,
        ),
        takes_positions=False,
        mend=with_a_bias_and_sinusoids,
    ),
    "marian with a table for each side": Case(
        "marian",
        MarianMTModel,
        MarianConfig(
            vocab_size=VOCAB,
            d_model=18,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=29,
            decoder_ffn_dim=29,
            max_position_embeddings=17,
            pad_token_id=PADDING,
            decoder_start_token_id=PADDING,
            forced_eos_token_id=None,
            share_encoder_decoder_embeddings=False,
        ),
        takes_positions=False,
        mend=with_a_bias_and_sinusoids,
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
        takes_positions=False,
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
        takes_positions=False,
        mend=with_an_output_layer,
    ),
    "mt5": Case(
        "mt5",
        MT5ForConditionalGeneration,
        MT5Config(
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
        takes_positions=False,
        mend=with_an_output_layer,
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
            rms_norm_eps=1e-3,
            attention_bias=True,
            mlp_bias=True,
            tie_word_embeddings=True,
            pad_token_id=PADDING,
        ),
    ),
    "llama 3.1": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 50.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 3.0,
                "original_max_position_embeddings": 9,
            },
        ),
    ),
    "llama with longrope": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 50.0,
                "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5],
                "long_factor": [1.0, 1.5, 2.0, 4.0, 7.0],
                "original_max_position_embeddings": 9,
            },
        ),
    ),
    "llama with longrope, never made longer": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=17,
            rms_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "longrope",
                "rope_theta": 50.0,
                "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5],
                "long_factor": [1.0, 1.5, 2.0, 4.0, 7.0],
                "original_max_position_embeddings": 17,
                "attention_factor": 1.3,
            },
        ),
    ),
    "llama with yarn past its original length": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=24,
            rms_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 20.0,
                "factor": 4.0,
                "beta_fast": 0.5,
                "beta_slow": 0.2,
                "mscale": 1.3,
                "mscale_all_dim": 0.7,
                "truncate": False,
                "original_max_position_embeddings": 6,
            },
        ),
    ),
    "llama with yarn": Case(
        "llama",
        LlamaForCausalLM,
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=20,
            intermediate_size=27,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=36,
            rms_norm_eps=1e-3,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 20.0,
                "factor": 2.0,
                "beta_fast": 0.5,
                "beta_slow": 0.2,
                "original_max_position_embeddings": 18,
            },
        ),
    ),
}


def as_saved(model: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model by the names that its files have: some have others in memory (experts, output layers)."""
    return revert_weight_conversion(model, tensors)  # type: ignore[no-any-return]


FIRST = {case.architecture: name for name, case in reversed(CASES.items())}
"""For each architecture its first case."""
VARIANTS = ("distilbert", "mistral", "mt5", "qwen2", "roberta")
"""Architectures that are others with few settings changed: field by field they are tried in the slow suite only."""
