"""What was published opens: the config of the best-known model of each architecture, with as many parameters."""

from typing import Any

import pytest
import torch

from tests.interop.published import ALBERT_BASE, LLAMA, PUBLISHED, QWEN2_5, SMOLLM2
from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, read_config


def test_every_architecture_that_fits_is_there() -> None:
    """All but DeepSeek-V3, whose published size has more experts than a test should build."""
    assert {published.config["model_type"] for published in PUBLISHED.values()} == {*ARCHITECTURES} - {"deepseek_v3"}


@pytest.mark.parametrize("name", PUBLISHED)
def test_it_opens_with_its_parameters(name: str) -> None:
    config, expected = PUBLISHED[name]
    with torch.device("meta"):
        model = read_config(config["model_type"], config).build_unset()
    assert model.num_parameters == expected


def test_what_has_no_effect_only_at_one_value() -> None:
    """Multimodal rotary positions would turn otherwise; the other published fields are never read by transformers."""
    for architecture, config, key in (
        ("albert", {**ALBERT_BASE, "layers_to_keep": [3]}, "layers_to_keep"),
        ("llama", {**SMOLLM2, "rope_interleaved": True}, "rope_interleaved"),
        ("qwen2", {**QWEN2_5, "use_mrope": True}, "use_mrope"),
        ("gpt_neox", {**PUBLISHED["gpt-neox-20b"].config, "hidden_dropout_prob": 0.1}, "hidden_dropout_prob"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_config(architecture, config)
        assert caught.value.key == key


def test_no_padding_token_is_minus_one_in_the_first_llama() -> None:
    assert read_config("llama", {**LLAMA, "pad_token_id": -1}) == read_config("llama", LLAMA)


def test_what_only_says_how_a_model_ran_is_left_out() -> None:
    """A name with a dot is known whole: `transformers` is another field."""
    known: dict[str, Any] = {"transformers.js_config": {"dtype": "q4", "kv_cache_dtype": {"fp16": "float16"}}}
    known |= {"_flash_attn_2_enabled": True, "_attn_implementation_internal": None}  # how it was computed
    assert read_config("llama", {**LLAMA, **known}) == read_config("llama", LLAMA)
    with pytest.raises(ConfigError, match=r"^transformers\.other: llama has a field that is not known here"):
        read_config("llama", {**LLAMA, "transformers": {"other": 1}})


def test_what_only_other_libraries_read_is_left_out() -> None:
    """As in transformers, whose factor is `attention_factor`."""
    config = PUBLISHED["DeepSeek-R1-0528-Qwen3-8B"].config
    scaling = {name: value for name, value in config["rope_scaling"].items() if name != "attn_factor"}
    assert read_config("qwen3", config) == read_config("qwen3", {**config, "rope_scaling": scaling})
