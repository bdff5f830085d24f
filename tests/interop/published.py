"""config.json of the best-known model of each architecture, as it was published, and how many parameters it has.

Config and weights are meant: the tokenizer of bart-large-cnn (and of -xsum) has one id more than the table has rows,
`<mask>`, so that its whole folder opens only as the error says that it does (test_bart.py).

The number is that of the published weights. Of BART and Marian with their output layer it counts the bias of the
logits, which is a buffer there and a parameter here; the sinusoids of Marian are no parameters here.
"""

from typing import Any, NamedTuple


class Published(NamedTuple):
    """A config as plain data, and the number of parameters of the class that it names."""

    config: dict[str, Any]
    num_parameters: int


# fmt: off
ROBERTA_BASE = {
    "architectures": ["RobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0, "eos_token_id": 2,
    "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
    "intermediate_size": 3072, "layer_norm_eps": 1e-05, "max_position_embeddings": 514, "model_type": "roberta",
    "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 50265,
}
ALBERT_BASE = {
    "architectures": ["AlbertForMaskedLM"], "attention_probs_dropout_prob": 0, "bos_token_id": 2,
    "classifier_dropout_prob": 0.1, "down_scale_factor": 1, "embedding_size": 128, "eos_token_id": 3, "gap_size": 0,
    "hidden_act": "gelu_new", "hidden_dropout_prob": 0, "hidden_size": 768, "initializer_range": 0.02,
    "inner_group_num": 1, "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
    "model_type": "albert", "net_structure_type": 0, "num_attention_heads": 12, "num_hidden_groups": 1,
    "num_hidden_layers": 12, "num_memory_blocks": 0, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30000,
}
GPT2 = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
    "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
    "resid_pdrop": 0.1, "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
    "summary_type": "cls_index", "summary_use_proj": True,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}}, "vocab_size": 50257,
}
LARGER_GPT2 = {**GPT2, "n_special": 0, "predict_special_tokens": True}
LLAMA = {
    "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 11008, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 32,
    "torch_dtype": "float16", "use_cache": True, "vocab_size": 32000,
}
SMOLLM2 = {
    "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0, "bos_token_id": 1,
    "eos_token_id": 2, "hidden_act": "silu", "initializer_range": 0.02, "is_llama_config": True,
    "max_position_embeddings": 8192, "mlp_bias": False, "model_type": "llama", "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_interleaved": False, "rope_scaling": None, "tie_word_embeddings": True,
    "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": 49152,
}
MISTRAL = {
    "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768,
    "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True,
}
QWEN2_5 = {
    "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643, "eos_token_id": 151643,
    "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 24, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "transformers_version": "4.40.1", "use_cache": True, "use_mrope": False, "use_sliding_window": False,
    "vocab_size": 151936,
}
GEMMA2_2B = {
    "architectures": ["Gemma2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": 1,
    "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02,
    "intermediate_size": 9216, "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
    "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "float32", "use_cache": True,
    "vocab_size": 256000,
}
NEOX = {
    "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "initializer_range": 0.02,
    "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neox", "rotary_emb_base": 10000,
    "rotary_pct": 0.25, "tie_word_embeddings": False, "torch_dtype": "float16", "use_cache": True,
}
T5 = {
    "d_kv": 64, "d_model": 512, "decoder_start_token_id": 0, "dropout_rate": 0.1, "eos_token_id": 1,
    "initializer_factor": 1.0, "is_encoder_decoder": True, "layer_norm_epsilon": 1e-06, "model_type": "t5",
    "output_past": True, "pad_token_id": 0, "relative_attention_num_buckets": 32,
}
T5_SMALL = {
    **T5, "d_ff": 2048, "n_positions": 512, "num_heads": 8, "num_layers": 6, "vocab_size": 32128,
    "task_specific_params": {
        "summarization": {"early_stopping": True, "length_penalty": 2.0, "max_length": 200, "min_length": 30,
                          "no_repeat_ngram_size": 3, "num_beams": 4, "prefix": "summarize: "},
        "translation_en_to_de": {"early_stopping": True, "max_length": 300, "num_beams": 4,
                                 "prefix": "translate English to German: "},
    },
}
T5_V1_1_SMALL = {
    **T5, "architectures": ["T5ForConditionalGeneration"], "d_ff": 1024, "feed_forward_proj": "gated-gelu",
    "num_decoder_layers": 8, "num_heads": 6, "num_layers": 8, "tie_word_embeddings": False, "use_cache": True,
    "vocab_size": 32128,
}
BART = {
    "_num_labels": 3, "activation_dropout": 0.1, "activation_function": "gelu", "add_bias_logits": False,
    "add_final_layer_norm": False, "attention_dropout": 0.1, "bos_token_id": 0, "classif_dropout": 0.1,
    "classifier_dropout": 0.0, "decoder_layerdrop": 0.0, "decoder_start_token_id": 2, "dropout": 0.1,
    "early_stopping": True, "encoder_layerdrop": 0.0, "eos_token_id": 2, "forced_eos_token_id": 2,
    "gradient_checkpointing": False, "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "init_std": 0.02,
    "is_encoder_decoder": True, "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2},
    "max_position_embeddings": 1024, "model_type": "bart", "no_repeat_ngram_size": 3, "normalize_before": False,
    "normalize_embedding": True, "num_beams": 4, "pad_token_id": 1, "scale_embedding": False, "torch_dtype": "float32",
    "use_cache": True,
}
BART_LARGE_CNN = {
    **BART, "activation_dropout": 0.0, "architectures": ["BartForConditionalGeneration"], "attention_dropout": 0.0,
    "classif_dropout": 0.0, "d_model": 1024, "decoder_attention_heads": 16, "decoder_ffn_dim": 4096,
    "decoder_layers": 12, "encoder_attention_heads": 16, "encoder_ffn_dim": 4096, "encoder_layers": 12,
    "length_penalty": 2.0, "max_length": 142, "min_length": 56, "num_hidden_layers": 12, "output_past": True,
    "prefix": " ", "vocab_size": 50264,
    "task_specific_params": {"summarization": {"length_penalty": 2.0, "max_length": 142, "num_beams": 4}},
}

PUBLISHED = {
    "bert-base-uncased": Published({
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "gradient_checkpointing": False,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
        "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0, "position_embedding_type": "absolute",
        "transformers_version": "4.6.0.dev0", "type_vocab_size": 2, "use_cache": True, "vocab_size": 30522,
    }, 109_514_298),
    "roberta-base": Published(ROBERTA_BASE, 124_697_433),
    "nli-roberta-base": Published({
        **ROBERTA_BASE, "architectures": ["RobertaForSequenceClassification"], "classifier_dropout": None,
        "gradient_checkpointing": False, "id2label": {"0": "contradiction", "1": "entailment", "2": "neutral"},
        "label2id": {"contradiction": 0, "entailment": 1, "neutral": 2}, "position_embedding_type": "absolute",
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity", "version": "4.0.1"},
        "transformers_version": "4.6.1", "use_cache": True,
    }, 124_647_939),
    "distilbert-base-uncased": Published({
        "activation": "gelu", "architectures": ["DistilBertForMaskedLM"], "attention_dropout": 0.1, "dim": 768,
        "dropout": 0.1, "hidden_dim": 3072, "initializer_range": 0.02, "max_position_embeddings": 512,
        "model_type": "distilbert", "n_heads": 12, "n_layers": 6, "pad_token_id": 0, "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False, "tie_weights_": True,
        "transformers_version": "4.10.0.dev0", "vocab_size": 30522,
    }, 66_985_530),
    "albert-base-v2": Published(ALBERT_BASE, 11_221_680),
    "albert-base-v2, the first files": Published({**ALBERT_BASE, "layers_to_keep": []}, 11_221_680),
    "ModernBERT-base": Published({
        "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 50281, "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
        "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True, "deterministic_flash_attn": False,
        "embedding_dropout": 0.0, "eos_token_id": 50282, "global_attn_every_n_layers": 3,
        "global_rope_theta": 160000.0, "gradient_checkpointing": False, "hidden_activation": "gelu",
        "hidden_size": 768, "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152,
        "layer_norm_eps": 1e-05, "local_attention": 128, "local_rope_theta": 10000.0,
        "max_position_embeddings": 8192, "mlp_bias": False, "mlp_dropout": 0.0, "model_type": "modernbert",
        "norm_bias": False, "norm_eps": 1e-05, "num_attention_heads": 12, "num_hidden_layers": 22,
        "pad_token_id": 50283, "position_embedding_type": "absolute", "sep_token_id": 50282,
        "tie_word_embeddings": True, "torch_dtype": "float32", "transformers_version": "4.47.0.dev0",
        "vocab_size": 50368,
    }, 149_655_232),
    "gpt2": Published(GPT2, 124_439_808),
    "gpt2-medium": Published({**LARGER_GPT2, "n_embd": 1024, "n_head": 16, "n_layer": 24}, 354_823_168),
    "gpt2-large": Published({**LARGER_GPT2, "n_embd": 1280, "n_head": 20, "n_layer": 36}, 774_030_080),
    "gpt2-xl": Published(
        {**LARGER_GPT2, "n_embd": 1600, "n_head": 25, "n_layer": 48, "output_past": True}, 1_557_611_200
    ),
    "pythia-160m": Published({
        **NEOX, "hidden_act": "gelu", "hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12,
        "num_hidden_layers": 12, "transformers_version": "4.24.0", "use_parallel_residual": True, "vocab_size": 50304,
    }, 162_322_944),
    "gpt-neox-20b": Published({
        **NEOX, "attention_probs_dropout_prob": 0, "hidden_act": "gelu_fast", "hidden_dropout_prob": 0,
        "hidden_size": 6144, "intermediate_size": 24576, "num_attention_heads": 64, "num_hidden_layers": 44,
        "vocab_size": 50432,
    }, 20_554_567_680),
    "dolly-v2-3b": Published({
        **NEOX, "_name_or_path": "EleutherAI/pythia-2.8b", "hidden_act": "gelu", "hidden_size": 2560,
        "custom_pipelines": {"text-generation": {"impl": "instruct_pipeline.InstructionTextGenerationPipeline",
                                                 "pt": "AutoModelForCausalLM", "tf": "TFAutoModelForCausalLM"}},
        "intermediate_size": 10240, "num_attention_heads": 32, "num_hidden_layers": 32,
        "transformers_version": "4.25.1", "use_parallel_residual": True, "vocab_size": 50280,
    }, 2_775_086_080),
    "bloom-560m": Published({
        "apply_residual_connection_post_layernorm": False, "architectures": ["BloomForCausalLM"],
        "attention_dropout": 0.0, "attention_softmax_in_fp32": True, "bias_dropout_fusion": True, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_dropout": 0.0, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
        "masked_softmax_fusion": True, "model_type": "bloom", "n_embed": 1024, "n_inner": None, "n_layer": 24,
        "num_attention_heads": 16, "offset_alibi": 100, "pad_token_id": 3, "pretraining_tp": 1, "seq_length": 2048,
        "skip_bias_add": True, "skip_bias_add_qkv": False, "transformers_version": "4.20.0", "unk_token_id": 0,
        "use_cache": True, "vocab_size": 250880,
    }, 559_214_592),
    "llama-7b": Published({
        **LLAMA, "architectures": ["LLaMAForCausalLM"], "max_sequence_length": 2048, "pad_token_id": -1,
        "rms_norm_eps": 1e-06, "transformers_version": "4.27.0.dev0",
    }, 6_738_415_616),
    "Llama-2-7b-hf": Published({
        **LLAMA, "_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096, "num_key_value_heads": 32, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": None, "tie_word_embeddings": False, "transformers_version": "4.31.0.dev0",
    }, 6_738_415_616),
    "Llama-3.2-1B": Published({
        **LLAMA, "architectures": ["LlamaForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": 128001, "head_dim": 64, "hidden_size": 2048, "intermediate_size": 8192,
        "max_position_embeddings": 131072, "mlp_bias": False, "num_hidden_layers": 16, "num_key_value_heads": 8,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                         "original_max_position_embeddings": 8192, "rope_type": "llama3"},
        "rope_theta": 500000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "vocab_size": 128256,
    }, 1_235_814_400),
    "SmolLM2-135M-Instruct": Published({
        **SMOLLM2, "hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_hidden_layers": 30,
        "num_key_value_heads": 3, "pad_token_id": 2, "rope_theta": 100000,
        "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16", "q4f16": "float16"}},
    }, 134_515_008),
    "SmolLM2-360M": Published({
        **SMOLLM2, "hidden_size": 960, "intermediate_size": 2560, "num_attention_heads": 15, "num_hidden_layers": 32,
        "num_key_value_heads": 5, "rope_theta": 100000,
    }, 361_821_120),
    "SmolLM2-1.7B": Published({
        **SMOLLM2, "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32, "num_hidden_layers": 24,
        "num_key_value_heads": 32, "rope_theta": 130000,
    }, 1_711_376_384),
    "Mistral-7B-v0.1": Published({
        **MISTRAL, "rope_theta": 10000.0, "sliding_window": 4096, "vocab_size": 32000,
    }, 7_241_732_096),
    "Mistral-7B-v0.3": Published({
        **MISTRAL, "attention_dropout": 0.0, "rope_theta": 1000000.0, "sliding_window": None, "vocab_size": 32768,
    }, 7_248_023_552),
    "Qwen2.5-0.5B": Published(QWEN2_5, 494_032_768),
    "Qwen3-0.6B": Published({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
        "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000,
        "sliding_window": None, "tie_word_embeddings": True, "torch_dtype": "bfloat16", "use_cache": True,
        "use_sliding_window": False, "vocab_size": 151936,
    }, 596_049_920),
    "DeepSeek-R1-0528-Qwen3-8B": Published({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096,
        "initializer_range": 0.02, "intermediate_size": 12288, "max_position_embeddings": 131072,
        "max_window_layers": 36, "model_type": "qwen3", "num_attention_heads": 32, "num_hidden_layers": 36,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
        "rope_scaling": {"attn_factor": 0.8782488562869419, "factor": 4.0, "original_max_position_embeddings": 32768,
                         "rope_type": "yarn"},
        "rope_theta": 1000000, "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "use_cache": True, "use_sliding_window": False, "vocab_size": 151936,
    }, 8_190_735_360),
    "gemma-2-2b": Published(GEMMA2_2B, 2_614_341_888),
    "gemma-2-9b": Published({
        **GEMMA2_2B, "hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16,
        "num_hidden_layers": 42, "num_key_value_heads": 8, "sliding_window_size": 4096,
    }, 9_241_705_984),
    "gemma-2-27b": Published({
        **GEMMA2_2B, "_attn_implementation": "eager", "head_dim": 128, "hidden_size": 4608, "intermediate_size": 36864,
        "num_attention_heads": 32, "num_hidden_layers": 46, "num_key_value_heads": 16, "query_pre_attn_scalar": 144,
        "sliding_window_size": 4096,
    }, 27_227_128_320),
    "OLMo-2-1124-7B": Published({
        "architectures": ["Olmo2ForCausalLM"], "attention_bias": False, "attention_dropout": 0.0,
        "eos_token_id": 100257, "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
        "intermediate_size": 11008, "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": 32,
        "num_hidden_layers": 32, "num_key_value_heads": 32, "pad_token_id": 100277, "rms_norm_eps": 1e-06,
        "rope_scaling": None, "rope_theta": 500000, "tie_word_embeddings": False, "torch_dtype": "float32",
        "use_cache": True, "vocab_size": 100352,
    }, 7_298_617_344),
    "t5-small": Published({**T5_SMALL, "architectures": ["T5ForConditionalGeneration"]}, 60_506_624),
    "t5-small, the first files": Published({**T5_SMALL, "architectures": ["T5WithLMHeadModel"]}, 60_506_624),
    "t5-v1_1-small": Published(T5_V1_1_SMALL, 76_961_152),
    "flan-t5-small": Published({
        **T5_V1_1_SMALL, "dense_act_fn": "gelu_new", "is_gated_act": True, "n_positions": 512,
        "relative_attention_max_distance": 128, "transformers_version": "4.23.1",
    }, 76_961_152),
    "mt5-small": Published({
        **T5_V1_1_SMALL, "architectures": ["MT5ForConditionalGeneration"], "model_type": "mt5",
        "tokenizer_class": "T5Tokenizer", "vocab_size": 250112,
    }, 300_176_768),
    "bart-base": Published({
        **BART, "architectures": ["BartModel"], "d_model": 768, "decoder_attention_heads": 12, "decoder_ffn_dim": 3072,
        "decoder_layers": 6, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072, "encoder_layers": 6,
        "forced_bos_token_id": 0, "num_hidden_layers": 6, "vocab_size": 50265,
    }, 139_420_416),
    "bart-large-cnn": Published({**BART_LARGE_CNN, "forced_bos_token_id": 0}, 406_340_696),
    "bart-large-cnn, the first files": Published(
        {**BART_LARGE_CNN, "force_bos_token_to_be_generated": True, "save_step": 58}, 406_340_696
    ),
    "distilbart-cnn-12-6": Published({
        **BART_LARGE_CNN, "decoder_layers": 6, "eos_token_ids": [2], "extra_pos_embeddings": 2,
        "force_bos_token_to_be_generated": True, "replacing_rate": 0, "save_step": 91,
        "static_position_embeddings": False, "student_decoder_layers": None, "student_encoder_layers": None,
    }, 305_560_664),
    "opus-mt-en-de": Published({
        "_num_labels": 3, "activation_dropout": 0.0, "activation_function": "swish", "add_bias_logits": False,
        "add_final_layer_norm": False, "architectures": ["MarianMTModel"], "attention_dropout": 0.0,
        "bad_words_ids": [[58100]], "bos_token_id": 0, "classif_dropout": 0.0, "classifier_dropout": 0.0,
        "d_model": 512, "decoder_attention_heads": 8, "decoder_ffn_dim": 2048, "decoder_layerdrop": 0.0,
        "decoder_layers": 6, "decoder_start_token_id": 58100, "decoder_vocab_size": 58101, "dropout": 0.1,
        "encoder_attention_heads": 8, "encoder_ffn_dim": 2048, "encoder_layerdrop": 0.0, "encoder_layers": 6,
        "eos_token_id": 0, "forced_eos_token_id": 0, "gradient_checkpointing": False,
        "id2label": {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}, "init_std": 0.02, "is_encoder_decoder": True,
        "label2id": {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}, "max_length": 512, "max_position_embeddings": 512,
        "model_type": "marian", "normalize_before": False, "normalize_embedding": False, "num_beams": 6,
        "num_hidden_layers": 6, "pad_token_id": 58100, "scale_embedding": True,
        "share_encoder_decoder_embeddings": True, "static_position_embeddings": True, "use_cache": True,
        "vocab_size": 58101,
    }, 73_944_309),
}
# fmt: on
