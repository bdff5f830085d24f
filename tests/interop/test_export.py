"""Which architecture a model of ours is written as, and in which files."""

import re
from pathlib import Path

import pytest

import zoo
from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, read_config
from zoo.interop.attempt import attempt
from zoo.interop.export import find_architecture, write_transformers
from zoo.interop.folder import load_foreign, stored_tensors
from zoo.models import ModelConfig

SIZE = {"dim": 16, "num_layers": 2, "num_heads": 2, "feed_forward_dim": 32, "max_length": 32, "vocab_size": 40}


def name_of(config: ModelConfig, asked: str | None = None, preferred: str | None = None) -> str:
    return find_architecture(config, asked, preferred).architecture


def test_of_several_the_preferred_one_or_the_first_that_was_described() -> None:
    config = read_config(
        "llama", {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 40}
    )
    assert name_of(config) == "llama"
    assert name_of(config, preferred="mistral") == "mistral"
    assert name_of(config, preferred="bert") == "llama"
    assert name_of(config, asked="mistral", preferred="llama") == "mistral"
    assert name_of(zoo.model_config("t5-v1.1-small")) == "t5"  # and not mT5, which computes the same


def test_what_stands_in_the_way_is_told_of_the_nearest() -> None:
    config = zoo.model_config("gpt2", positions={"kind": "alibi"}, norm={"kind": "rms_norm"}, **SIZE)
    with pytest.raises(ConfigError) as caught:
        find_architecture(config)
    told = str(caught.value)
    near = re.findall("\n  ([a-z0-9_]+):\n", told)
    assert len(near) == 3
    assert near[0] == "gpt2"  # two settings; of the others more
    assert all(ARCHITECTURES[name].constant["kind"] == "decoder" for name in near)
    for name in near:
        for error in attempt(name, config).obstacles:
            assert f"\n    {error}\n" in told
    with pytest.raises(
        ConfigError, match=r"gpt2 has no place for 2 settings of this model:\n  norm.kind: .*\n  positions"
    ):
        find_architecture(config, asked="gpt2")


def test_what_takes_a_model_as_it_is_comes_before_what_changes_it() -> None:
    """Qwen2 always has three biases, which can be zeros; Llama has none, but no room for another dropout."""
    plain = zoo.model_config("llama-nano", **SIZE)
    assert not attempt("qwen2", plain).obstacles
    assert find_architecture(plain).changes == {}
    assert find_architecture(plain).architecture == "llama"
    assert name_of(plain, preferred="qwen2") == "llama"
    assert name_of(plain, asked="qwen2") == "qwen2"
    assert name_of(zoo.model_config(plain, dropout={"residual": 0.1}), preferred="mistral") == "mistral"


@pytest.mark.parametrize("most, files", [(1 << 30, 1), (6_000, 5)])
def test_files_hold_no_more_than_they_may(most: int, files: int, tmp_path: Path) -> None:
    model = zoo.create_model("gpt2", **SIZE)
    heard: list[int] = []
    write_transformers(
        model,
        {"eos_token_id": 1},
        tmp_path,
        attempt("gpt2", model.config),
        shard_bytes=most,
        told=lambda done, total: heard.append(total - done),
    )
    stored = stored_tensors(tmp_path)
    assert len({one.path for one in stored.values()}) == len(heard) >= files
    assert heard[-1] == 0
    assert load_foreign(tmp_path).num_parameters == model.num_parameters


def test_a_base_model_has_the_names_of_its_class(tmp_path: Path) -> None:
    model = zoo.create_model("bert-nano", **{**SIZE, "heads": {"language_model": None, "next_sentence": None}})
    write_transformers(model, {}, tmp_path, attempt("bert", model.config))
    stored = stored_tensors(tmp_path)
    assert "embeddings.word_embeddings.weight" in stored
    assert not any(name.startswith("bert.") for name in stored)
    assert load_foreign(tmp_path).config.heads == {}
