"""What the shipped configs pretrain goes out to transformers with the same logits, or stands here with the reason."""

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import transformers
from torch import Tensor

import zoo
from tests.interop.cases import with_sinusoids
from tests.oracle import lifted, randomize, relative
from zoo.errors import ConfigError
from zoo.interop.attempt import attempt
from zoo.interop.export import find_architecture
from zoo.models import Model, ModelConfig
from zoo.models.create import model_config
from zoo.training.shipped import load_run, shipped_configs

TOLERANCE = 1e-12
"""Of the logits, relative, in float64: the order of a sum may differ where a bias of zeros is added."""
VOCAB = 50
"""No multiple of 64, so that a padded table has spare rows."""


class Kept(NamedTuple):
    """A config whose model no architecture of transformers computes.

    Attributes:
        reason: why it is as it is. nearest: an architecture, and what stands in its way. settings: with them it goes.
    """

    reason: str
    nearest: str
    in_the_way: tuple[str, ...]
    settings: dict[str, Any]


OURS_ONLY = {
    "bert-5m": Kept(
        "norms before the branches and rotary positions learn faster in twenty minutes",
        "bert",
        ("placement", "positions.kind"),
        {"placement": "post", "positions": "learned"},
    ),
    "transformer-base": Kept(
        "sinusoids as the paper writes them, and the eps of its released code",
        "marian",
        ("norm.eps", "positions.layout"),
        {"norm": {"eps": 1e-5}, "positions": {"layout": "half"}},
    ),
}
"""Reviewed. Each is held to what it says."""


def pretrained_as(name: str) -> ModelConfig:
    """The model of a shipped config, in all but its size."""
    config = load_run(name).config.model
    sizes: dict[str, Any] = {"dim": 16, "num_layers": 4, "num_heads": 2, "vocab_size": VOCAB, "max_length": 24}
    sizes |= {"feed_forward_dim": 24, "head_dim": None, "num_kv_heads": None}
    if config.embedding.factorization is not None:
        sizes["embedding"] = {"factorization": {"dim": 8}}
    return model_config(config, **sizes)


def random_model(config: ModelConfig) -> Model:
    """A model in float64 with random weights, biases and norms included, and zeros in its spare rows."""
    model = config.build_unset().double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm | torch.nn.RMSNorm):
                module.reset_parameters()
    randomize(model, seed=5)
    return model


def said(folder: Path, opened: str, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The logits of transformers' model, by our heads."""
    with lifted(), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, told = getattr(transformers, opened).from_pretrained(
            folder, dtype=torch.float64, output_loading_info=True
        )
        assert not told["missing_keys"]
        assert not told["unexpected_keys"]
        with_sinusoids(model)
        output = model.eval()(**inputs)
    language_model = output.logits if "logits" in output else output.prediction_logits
    pairs = next((output[key] for key in ("seq_relationship_logits", "sop_logits") if key in output), None)
    return {"language_model": language_model} | ({} if pairs is None else {"next_sentence": pairs})


def exported_equal(config: ModelConfig, folder: Path) -> list[str]:
    """Exports a random model, holds transformers' logits and ours of the export to its own, and gives what was told."""
    model, vocab = random_model(config), config.vocab_size
    assert vocab is not None
    generator = torch.Generator().manual_seed(1)
    ours = {"tokens": torch.randint(5, vocab, (2, 20), generator=generator)}
    theirs = {"input_ids": ours["tokens"]}
    if config.kind == "encoder_decoder":
        ours["decoder_tokens"] = theirs["decoder_input_ids"] = torch.randint(5, vocab, (2, 9), generator=generator)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        opened = zoo.export(model, folder)
    with torch.no_grad():
        expected = model(**ours)
        again = zoo.load(folder)(**ours)
        found = said(folder, opened, theirs)
    assert found.keys() == expected.keys()
    for head, logits in expected.items():
        assert logits.shape == found[head].shape
        assert relative(found[head], logits) < TOLERANCE
        assert relative(again[head], logits) < TOLERANCE
    return [str(one.message) for one in heard if one.category is UserWarning]


SPARE = "the 14 spare rows of the token table (vocab_multiple) are left out"
TOLD = {
    "albert-base": (SPARE,),
    "gpt2": (SPARE,),
    "roberta-base": (SPARE,),
    "gpt-shakespeare": ("feed_forward.bias, norm.bias: gpt2 always has them; zeros are written",),
    "llama-110m": ("dropout.embedding 0.1 (0.0 there), dropout.residual 0.1 (0.0 there): llama has no setting",),
}
"""What an export says of the models that it changes."""


GOES_OUT = sorted({*shipped_configs()} - {*OURS_ONLY})


@pytest.mark.parametrize("name", GOES_OUT)
def test_an_architecture_takes_what_it_pretrains(name: str) -> None:
    find_architecture(model_config(load_run(name).config.model, vocab_size=1000))


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in TOLD else pytest.mark.slow) for n in GOES_OUT])
def test_what_it_pretrains_opens_with_the_same_logits(name: str, tmp_path: Path) -> None:
    heard = exported_equal(pretrained_as(name), tmp_path / "out")
    assert len(heard) == len(TOLD.get(name, ())), heard
    for message, words in zip(heard, TOLD.get(name, ()), strict=True):
        assert words in message
        assert words in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize("name", OURS_ONLY)
def test_what_stays_ours_has_a_reason_that_holds(name: str, tmp_path: Path) -> None:
    kept, config = OURS_ONLY[name], pretrained_as(name)
    assert [error.key for error in attempt(kept.nearest, config).obstacles] == [*kept.in_the_way]
    with pytest.raises(ConfigError, match="no architecture of transformers computes what this"):
        find_architecture(config)
    changed = model_config(config, **kept.settings)
    assert find_architecture(changed).architecture == kept.nearest
    exported_equal(changed, tmp_path / "out")
