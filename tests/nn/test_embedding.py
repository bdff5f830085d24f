"""The embedding equals norm(scale · token + segment + position), and refuses ids that it has no row for."""

import pytest
import torch
from torch import Tensor

from zoo.errors import ConfigError, DataError
from zoo.nn.embedding import EmbeddingConfig, TokenEmbedding
from zoo.nn.linear import Embedding, Site
from zoo.nn.norm import LayerNormConfig

VOCAB_SIZE, DIM = 7, 4
TOKENS = torch.tensor([[0, 3, 6], [1, 1, 2]])
POSITIONS = torch.arange(3)[None]


def embedding(config: EmbeddingConfig, dropout: float = 0.0) -> TokenEmbedding:
    table = Embedding(VOCAB_SIZE, DIM, site=Site("token_embedding"), padding_index=config.padding_token)
    module = TokenEmbedding(config, table, LayerNormConfig(), dropout).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def shifted(hidden: Tensor, positions: Tensor) -> Tensor:
    """A positional scheme."""
    return hidden + positions[..., None] * torch.arange(DIM)


@pytest.mark.parametrize("scale, factor", [("none", 1.0), ("sqrt_dim", 2.0)])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("num_segments", [0, 2])
def test_sum(scale: str, factor: float, norm: bool, num_segments: int) -> None:
    module = embedding(EmbeddingConfig(scale=scale, norm=norm, num_segments=num_segments))  # type: ignore[arg-type]
    segments = torch.tensor([[0, 1, 1], [1, 0, 0]]) if num_segments else None
    expected = factor * module.tokens.weight[TOKENS]
    if module.segments is not None and segments is not None:
        expected = expected + module.segments.weight[segments]
    expected = module.norm(shifted(expected, POSITIONS))
    torch.testing.assert_close(module(TOKENS, POSITIONS, segments, shifted), expected)
    assert isinstance(module.norm, torch.nn.LayerNorm) == norm


def test_absent_segments_are_the_first() -> None:
    module = embedding(EmbeddingConfig(num_segments=2))
    found = module(TOKENS, POSITIONS, None, shifted)
    torch.testing.assert_close(found, module(TOKENS, POSITIONS, torch.zeros_like(TOKENS), shifted))
    found.sum().backward()
    assert module.segments is not None
    assert module.segments.weight.grad is not None
    assert (module.segments.weight.grad[0] == TOKENS.numel()).all()


def test_dropout_is_of_the_result() -> None:
    module = embedding(EmbeddingConfig(norm=True), dropout=0.999999)
    assert (module.train()(TOKENS, POSITIONS, None, shifted) == 0).all()
    assert (module.eval()(TOKENS, POSITIONS, None, shifted) != 0).any()


@pytest.mark.parametrize(
    "tokens, segments, message",
    [
        ([[7]], None, "token id 7 is outside 0 … 6; the tokenizer and the model's vocab_size do not belong together"),
        ([[-1]], None, "token id -1 is outside 0 … 6"),
        ([[1]], [[2]], "segment id 2 is outside 0 … 1; choose a larger embedding.num_segments"),
    ],
)
def test_ids_without_a_row(tokens: list[list[int]], segments: list[list[int]] | None, message: str) -> None:
    module = embedding(EmbeddingConfig(num_segments=2))
    given = None if segments is None else torch.tensor(segments)
    with pytest.raises(DataError, match=message):
        module(torch.tensor(tokens), POSITIONS[:, :1], given, shifted)


def test_segments_without_a_table() -> None:
    with pytest.raises(DataError, match=r"the model has no table for them; set embedding\.num_segments"):
        embedding(EmbeddingConfig())(TOKENS, POSITIONS, torch.zeros_like(TOKENS), shifted)


def test_scale_is_one_of_two() -> None:
    with pytest.raises(ConfigError, match="scale: 'dim' is not one of none, sqrt_dim"):
        EmbeddingConfig(scale="dim")  # type: ignore[arg-type]
