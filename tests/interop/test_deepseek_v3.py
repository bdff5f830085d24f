"""DeepSeek-V3: what is particular to it. That it equals transformers is in test_parity.py."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import zoo
from tests.interop.parity import oracle, our_config, our_weights, saved_weights
from zoo.checkpoint.disk import read_json
from zoo.config import build, merged, to_mapping
from zoo.errors import CheckpointError, ConfigError
from zoo.interop import left_out, read_config, write_config
from zoo.interop.deepseek_v3 import further_layers
from zoo.models import ModelConfig

PUBLISHED = {  # config.json of deepseek-ai/DeepSeek-V3, without its quantization
    "architectures": ["DeepseekV3ForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "auto_map": {"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"},
    "bos_token_id": 0,
    "eos_token_id": 1,
    "ep_size": 1,
    "first_k_dense_replace": 3,
    "hidden_act": "silu",
    "hidden_size": 7168,
    "initializer_range": 0.02,
    "intermediate_size": 18432,
    "kv_lora_rank": 512,
    "max_position_embeddings": 163840,
    "model_type": "deepseek_v3",
    "moe_intermediate_size": 2048,
    "moe_layer_freq": 1,
    "n_group": 8,
    "n_routed_experts": 256,
    "n_shared_experts": 1,
    "norm_topk_prob": True,
    "num_attention_heads": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 61,
    "num_key_value_heads": 128,
    "num_nextn_predict_layers": 1,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {
        "beta_fast": 32,
        "beta_slow": 1,
        "factor": 40,
        "mscale": 1.0,
        "mscale_all_dim": 1.0,
        "original_max_position_embeddings": 4096,
        "type": "yarn",
    },
    "rope_theta": 10000,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "tie_word_embeddings": False,
    "topk_group": 4,
    "topk_method": "noaux_tc",
    "torch_dtype": "bfloat16",
    "use_cache": True,
    "v_head_dim": 128,
    "vocab_size": 129280,
}


def test_published_config() -> None:
    config = read_config("deepseek_v3", PUBLISHED)
    assert list(config.layers) == ["3:"]
    assert (config.head_dim, config.positions.width) == (192, 64)  # type: ignore[attr-defined]
    assert config.attention.scale.factor(192) == pytest.approx(0.1352337788608801)  # of the released code
    written = write_config("deepseek_v3", config)
    assert {name: written[name] for name in PUBLISHED if name in written} == {
        name: value for name, value in PUBLISHED.items() if name in written
    }


def published_folder(folder: Path) -> Any:
    """Theirs in a folder as DeepSeek publishes it: with names of code, and a layer that predicts a further token."""
    theirs = copy.deepcopy(oracle("deepseek_v3")).eval()
    theirs.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    code = {"auto_map": {"AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM"}}
    (folder / "config.json").write_text(json.dumps({**config, **code, "num_nextn_predict_layers": 1}))
    weights = load_file(folder / "model.safetensors")
    dim, further = config["hidden_size"], f"model.layers.{config['num_hidden_layers']}"
    weights |= {f"{further}.{norm}.weight": torch.ones(dim) for norm in ("enorm", "hnorm", "shared_head.norm")}
    weights |= {f"{further}.eh_proj.weight": torch.ones(dim, 2 * dim), f"{further}.embed_tokens.weight": torch.ones(2)}
    save_file(weights, folder / "model.safetensors")
    return theirs


def test_a_folder_as_it_is_published_opens(tmp_path: Path) -> None:
    theirs = published_folder(tmp_path / "theirs")
    layers = theirs.config.num_hidden_layers
    with pytest.warns(UserWarning, match="auto_map|left out") as heard:
        ours = zoo.load(tmp_path / "theirs", dtype="float32").model
    told = " ".join(str(one.message) for one in heard)
    assert f"left out, as transformers does: model.layers.{layers}, which is no part of this deepseek_v3" in told
    assert "(auto_map) never runs here" in told
    tokens = torch.arange(6)[None]
    expected = theirs.float()(tokens).logits
    torch.testing.assert_close(ours(tokens=tokens)["language_model"], expected, rtol=1e-4, atol=1e-4)


def test_a_layer_too_many_that_predicts_nothing_further_is_left_over(tmp_path: Path) -> None:
    published_folder(tmp_path / "theirs")
    path = tmp_path / "theirs" / "model.safetensors"
    weights = load_file(path)
    names = [*weights]
    (module,) = further_layers({"num_hidden_layers": 0}, names)
    config = read_json(tmp_path / "theirs" / "config.json", 1 << 20)
    assert left_out("deepseek_v3", names, config) == [name for name in names if name.startswith(f"{module}.")]
    save_file({name: one for name, one in weights.items() if "eh_proj" not in name}, path)
    with pytest.raises(CheckpointError, match=rf"left over: {module}"):
        zoo.load(tmp_path / "theirs")


def test_the_size_is_that_of_the_paper() -> None:
    """671B parameters (section 4.2), here in 1/61 of the layers' cost: one plain layer and one mixture."""
    with torch.device("meta"):
        small = read_config("deepseek_v3", {**PUBLISHED, "num_hidden_layers": 4}).build_unset().num_parameters
        smaller = read_config("deepseek_v3", {**PUBLISHED, "num_hidden_layers": 3}).build_unset().num_parameters
    assert smaller + 58 * (small - smaller) == pytest.approx(671e9, rel=1e-3)


def test_rotated_channels_are_last_there_and_first_with_us() -> None:
    weights = saved_weights("deepseek_v3")
    heads = weights["model.layers.1.self_attn.q_b_proj.weight"].reshape(3, 13, 11)
    ours = our_weights("deepseek_v3")["backbone.stack.blocks.1.self_attention.sublayer.project.query.weight"]
    assert torch.equal(ours.reshape(3, 13, 11), torch.cat((heads[:, 5:], heads[:, :5]), dim=1))


def test_the_biases_of_the_router_decide_something() -> None:
    biases = [bias for name, bias in oracle("deepseek_v3").state_dict().items() if name.endswith("correction_bias")]
    assert len(biases) == 2
    assert all(bias.abs().min() > 0 for bias in biases)


def test_how_fast_the_biases_move_is_no_matter() -> None:
    balancing = {"feed_forward": {"router": {"balancing": {"rate": 0.5}}}}
    changed = merged(to_mapping(our_config("deepseek_v3")), {"layers": {"1:": balancing}})
    written = write_config("deepseek_v3", build(ModelConfig, changed))
    assert written == write_config("deepseek_v3", our_config("deepseek_v3"))


@pytest.mark.parametrize("change", [{"top_k": 1}, {"router": {"scoring": "softmax"}}, {"bias": True}])
def test_another_mixture_in_one_layer_has_no_place(change: dict[str, Any]) -> None:
    changed = merged(to_mapping(our_config("deepseek_v3")), {"layers": {"2": {"feed_forward": change}}})
    with pytest.raises(ConfigError, match=r"layers\.2\.feed_forward"):
        write_config("deepseek_v3", build(ModelConfig, changed))


@pytest.mark.parametrize(
    "field, value",
    [
        ("scoring_func", "softmax"),
        ("moe_layer_freq", 2),
        ("topk_method", "greedy"),
        ("num_key_value_heads", 8),
        ("head_dim", 128),
        ("quantization_config", {"quant_method": "fp8"}),
        ("hidden_act", "relu6"),
    ],
)
def test_fields_that_are_not_covered(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config("deepseek_v3", {**PUBLISHED, field: value})
    assert caught.value.key.split(".")[0] == field
