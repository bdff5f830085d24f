"""A tiny Llama of transformers, and its weights as Meta's code has them."""

import torch
import transformers
from torch import Tensor

SIZES = {"dim": 16, "hidden_dim": 24, "n_layers": 2, "n_heads": 4, "n_kv_heads": 2, "vocab_size": 40, "max_seq_len": 32}
NAMES = {
    "self_attn.q_proj": "attention.wq",
    "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv",
    "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1",
    "mlp.down_proj": "feed_forward.w2",
    "mlp.up_proj": "feed_forward.w3",
    "input_layernorm": "attention_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.embed_tokens": "tok_embeddings",
    "model.norm": "norm",
    "lm_head": "output",
    "model.layers": "layers",
}


def oracle(tied: bool = True, seed: int = 0, vocab_size: int = 40) -> transformers.LlamaForCausalLM:
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        vocab_size=vocab_size, max_position_embeddings=32, rms_norm_eps=1e-5, tie_word_embeddings=tied,
        initializer_range=0.3,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).float().eval()


def metas(model: transformers.LlamaForCausalLM) -> dict[str, Tensor]:
    """Its weights under Meta's names, the rotated channels in pairs."""
    weights = {}
    for name, tensor in model.state_dict().items():
        heads = 4 if "q_proj" in name else 2 if "k_proj" in name else 0
        for theirs, metas_name in NAMES.items():
            name = name.replace(theirs, metas_name)
        if heads:  # halves → pairs, written out row by row
            half = tensor.shape[0] // heads // 2
            order = [
                head * 2 * half + member * half + pair
                for head in range(heads)
                for pair in range(half)
                for member in (0, 1)
            ]
            tensor = tensor[order]
        weights[name] = tensor
    return weights


def logits(model: transformers.LlamaForCausalLM) -> Tensor:
    with torch.no_grad():
        return model(torch.arange(12)[None]).logits
