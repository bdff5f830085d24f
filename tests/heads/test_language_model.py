"""The output layer equals its formula; tied, it is the token table itself."""

import copy
import itertools

import pytest
import torch
from torch.nn import functional

from zoo.errors import ConfigError
from zoo.heads import HeadShape
from zoo.heads.language_model import LanguageModelConfig, LanguageModelHead, Transform
from zoo.models.create import create_model
from zoo.nn.feed_forward import ACTIVATIONS
from zoo.nn.linear import Embedding, Linear, Site
from zoo.nn.norm import LayerNormConfig

DIM, VOCAB_SIZE = 4, 7


def head(config: LanguageModelConfig, spare: int = 0, width: int = DIM) -> tuple[LanguageModelHead, Embedding]:
    table = Embedding(VOCAB_SIZE + spare, width, site=Site("token_embedding"), spare=spare).double()
    module = config.build(HeadShape(DIM, VOCAB_SIZE, table, LayerNormConfig(), width != DIM)).double()
    with torch.no_grad():
        for parameter in (table.weight, *module.parameters()):
            parameter.normal_()
    assert isinstance(module, LanguageModelHead)
    return module, table


@pytest.mark.parametrize("tied, bias", [*itertools.product([True, False], repeat=2)])
@pytest.mark.parametrize("transform", [None, *ACTIVATIONS])
@pytest.mark.parametrize("scale, factor", [("none", 1.0), ("inverse_sqrt_dim", 0.5), (1.5, 1.5)])
def test_formula(tied: bool, bias: bool, transform: str | None, scale: str | float, factor: float) -> None:
    config = LanguageModelConfig(tied=tied, bias=bias, transform=transform, scale=scale)  # type: ignore[arg-type]
    module, table = head(config)
    hidden = torch.randn(2, 3, DIM, dtype=torch.float64)
    features = hidden
    if transform is not None:
        assert isinstance(module.transform, Transform)
        dense = module.transform.dense
        features = module.transform.norm(ACTIVATIONS[transform](hidden @ dense.weight.T + dense.bias))
    weight = table.weight if tied else module.output.weight  # type: ignore[union-attr]
    expected = factor * features @ weight.T + (0 if module.bias is None else module.bias)
    torch.testing.assert_close(module(hidden), expected)
    torch.testing.assert_close(functional.linear(module.features(hidden), module.weight, module.bias), expected)
    assert (module.bias is not None) == bias


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_cap_and_spare_rows(tied: bool, bias: bool) -> None:
    module, table = head(LanguageModelConfig(tied=tied, bias=bias, cap=2.0), spare=3)
    hidden = torch.randn(2, 3, DIM, dtype=torch.float64)
    weight = table.weight if tied else module.output.weight  # type: ignore[union-attr]
    assert weight.shape == (VOCAB_SIZE + 3, DIM)
    logits = hidden @ weight[:VOCAB_SIZE].T + (0 if module.bias is None else module.bias)
    torch.testing.assert_close(module(hidden), 2 * torch.tanh(logits / 2))
    module(hidden).sum().backward()
    assert weight.grad is not None
    assert (weight.grad[VOCAB_SIZE:] == 0).all()
    assert (weight.grad[:VOCAB_SIZE] != 0).all()


@pytest.mark.parametrize("transform", [None, "gelu"])
def test_a_tied_table_of_another_width(transform: str | None) -> None:
    """ALBERT comes to it through the transform, OPT through a plain matrix."""
    module, table = head(LanguageModelConfig(transform=transform), width=3)
    hidden = torch.randn(2, DIM, dtype=torch.float64)
    assert module.transform(hidden).shape == (2, 3)
    torch.testing.assert_close(module(hidden), module.transform(hidden) @ table.weight.T)
    assert isinstance(module.transform, Linear if transform is None else Transform)
    if isinstance(module.transform, Linear):
        assert module.transform.bias is None
    free, _ = head(LanguageModelConfig(tied=False, transform=transform), width=3)
    assert free.weight.shape == (VOCAB_SIZE, DIM)


def test_transform_without_bias() -> None:
    module, _ = head(LanguageModelConfig(transform="gelu", transform_bias=False))
    assert isinstance(module.transform, Transform)
    assert module.transform.dense.bias is None
    with pytest.raises(ConfigError, match="transform_bias: false takes the bias from a layer that transform=null"):
        LanguageModelConfig(transform_bias=False)


@pytest.mark.parametrize("field", ["cap", "scale"])
def test_numbers_are_positive(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field}: 0.0 must be above 0"):
        LanguageModelConfig(**{field: 0.0})


def test_tied_weights_are_one_tensor() -> None:
    module, table = head(LanguageModelConfig(tied=True))
    assert module.weight is table.weight
    assert not list(module.parameters())
    module, table = head(LanguageModelConfig(tied=False))
    assert module.weight is not table.weight
    assert sum(parameter.numel() for parameter in module.parameters()) == VOCAB_SIZE * DIM


SETTINGS = {"kind": "encoder_decoder", "dim": 8, "num_layers": 1, "num_heads": 2, "vocab_size": 11}


def test_tied_weights_stay_one_tensor() -> None:
    """Through copies, moves and loading; stored and counted once."""
    model = create_model(SETTINGS, heads={"main": {"kind": "language_model", "tied": True}})
    names = [name for name in model.state_dict() if "tokens" in name or "heads" in name]
    assert names == ["backbone.encoder_embedding.tokens.weight", "backbone.decoder_embedding.tokens.weight"]
    for changed in (model, copy.deepcopy(model), copy.deepcopy(model).double(), copy.deepcopy(model).to("meta")):
        tables = {id(changed.backbone.tokens.weight), id(changed.heads["main"].weight)}
        tables.add(id(changed.backbone.decoder_embedding.tokens.weight))
        assert len(tables) == 1
    loaded = create_model(SETTINGS, seed=1, heads={"main": {"kind": "language_model", "tied": True}})
    loaded.load_state_dict(model.state_dict())
    assert torch.equal(loaded.heads["main"].weight, model.backbone.tokens.weight)
    free = create_model(SETTINGS, heads={"main": {"kind": "language_model", "tied": False}})
    assert free.num_parameters - model.num_parameters == 11 * 8


def test_both_uses_train_a_tied_table() -> None:
    model = create_model(SETTINGS, heads={"main": {"kind": "language_model", "tied": True}})
    tokens = torch.tensor([[1, 2]])
    model(tokens=tokens, decoder_tokens=tokens)["main"].logsumexp(-1).sum().backward()
    assert model.backbone.tokens.weight.grad is not None
    assert (model.backbone.tokens.weight.grad.abs().sum(-1) > 0).all()


def test_unknown_activation() -> None:
    with pytest.raises(ConfigError, match="transform: unknown activation 'gelo'; did you mean 'gelu'"):
        LanguageModelConfig(transform="gelo")
