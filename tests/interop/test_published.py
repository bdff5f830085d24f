"""What was published opens: the config of the best-known model of each architecture, with as many parameters."""

import pytest
import torch

from tests.interop.published import LLAMA, PUBLISHED, QWEN2_5
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
    """Multimodal rotary positions would turn otherwise; the other published field is a dropout that is never read."""
    for architecture, config, key in (
        ("qwen2", {**QWEN2_5, "use_mrope": True}, "use_mrope"),
        ("gpt_neox", {**PUBLISHED["gpt-neox-20b"].config, "hidden_dropout_prob": 0.1}, "hidden_dropout_prob"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_config(architecture, config)
        assert caught.value.key == key


def test_no_padding_token_is_minus_one_in_the_first_llama() -> None:
    assert read_config("llama", {**LLAMA, "pad_token_id": -1}) == read_config("llama", LLAMA)
