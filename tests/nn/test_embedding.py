"""The embedding equals norm(scale · token + segment + position), and refuses ids that it has no row for."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    ElectraConfig,
    ElectraForMaskedLM,
    OPTConfig,
    OPTForCausalLM,
)

from tests.laws import assert_laws, small
from tests.oracle import lifted, oracle_model
from zoo.errors import ConfigError, DataError
from zoo.models import Model, ModelConfig
from zoo.nn.embedding import EmbeddingConfig, FactorizationConfig, TokenEmbedding
from zoo.nn.linear import Embedding, Linear, Site
from zoo.nn.norm import LayerNormConfig

VOCAB_SIZE, DIM = 7, 4
TOKENS = torch.tensor([[0, 3, 6], [1, 1, 2]])
POSITIONS = torch.arange(3)[None]


def embedding(config: EmbeddingConfig, dropout: float = 0.0) -> TokenEmbedding:
    table = Embedding(
        VOCAB_SIZE, config.table_dim(DIM), site=Site("token_embedding"), padding_index=config.padding_token
    )
    module = TokenEmbedding(config, table, LayerNormConfig(), dropout, DIM).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_()
    return module


def shifted(hidden: Tensor, positions: Tensor) -> Tensor:
    """A positional scheme."""
    return hidden + positions[..., None] * torch.arange(hidden.shape[-1])


@pytest.mark.parametrize("scale, factor", [("none", 1.0), ("sqrt_dim", 2.0), (1.5, 1.5)])
@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("num_segments", [0, 2])
def test_sum(scale: str | float, factor: float, norm: bool, num_segments: int) -> None:
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


@pytest.mark.parametrize(
    "scale, message",
    [("dim", "scale: 'dim' is not one of none, sqrt_dim or a number"), (0.0, "scale: 0.0 must be above")],
)
def test_scale_is_a_name_or_a_number(scale: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EmbeddingConfig(scale=scale)


def test_spare_rows_are_never_looked_up() -> None:
    table = Embedding(VOCAB_SIZE + 3, DIM, site=Site("token_embedding"), spare=3)
    module = TokenEmbedding(EmbeddingConfig(), table, LayerNormConfig(), 0.0, DIM)
    with pytest.raises(DataError, match="token id 7 is outside 0 … 6"):
        module(torch.tensor([[7]]), POSITIONS[:, :1], None, shifted)


# ------------------------------------------------------------------------------------------------------- factorization

WIDTH = 3
"""Of the token table."""


@pytest.mark.parametrize("order", ["sum", "tokens"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scale", ["none", "sqrt_dim"])
def test_factorized(order: Any, bias: bool, scale: Any) -> None:
    factorization = FactorizationConfig(dim=WIDTH, order=order, bias=bias)
    module = embedding(EmbeddingConfig(factorization=factorization, norm=True, num_segments=2, scale=scale))
    segments = torch.tensor([[0, 1, 1], [1, 0, 0]])
    tokens = module.tokens.weight[TOKENS] * (WIDTH**0.5 if scale == "sqrt_dim" else 1)
    matrix = module.projection if order == "sum" else module.token_projection
    assert isinstance(matrix, Linear)
    assert (matrix.bias is not None) == bias
    assert module.segments is not None
    if order == "sum":
        expected = matrix(module.norm(shifted(tokens + module.segments(segments), POSITIONS)))
    else:
        expected = module.norm(shifted(matrix(tokens) + module.segments(segments), POSITIONS))
    torch.testing.assert_close(module(TOKENS, POSITIONS, segments, shifted), expected)
    assert expected.shape == (2, 3, DIM)


def test_dropout_comes_before_the_matrix_of_the_sum() -> None:
    module = embedding(EmbeddingConfig(factorization=FactorizationConfig(dim=WIDTH)), dropout=0.999999)
    assert isinstance(module.projection, Linear)
    out = module.train()(TOKENS, POSITIONS, None, shifted)
    torch.testing.assert_close(out, module.projection.bias.expand_as(out))


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("order", ["sum", "tokens"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal", "rotary", "relative"])
def test_laws(family: str, order: str, positions: str) -> None:
    factorization = {"dim": 6, "order": order}
    assert_laws(small(family, positions=positions, embedding={"factorization": factorization, "norm": True}))


@pytest.mark.parametrize("order, width", [("sum", 6), ("tokens", 16)])
def test_positions_have_the_width_of_the_sum(order: str, width: int) -> None:
    config = small("decoder", embedding={"factorization": {"dim": 6, "order": order}}, positions="learned")
    assert config.build().backbone.stack.positions.table.weight.shape == (32, width)  # type: ignore[union-attr]


def test_sinusoids_need_an_even_width_of_the_sum() -> None:
    for order, legal in (("sum", False), ("tokens", True)):
        changes = {"positions": "sinusoidal", "embedding": {"factorization": {"dim": 5, "order": order}}}
        if legal:
            small("decoder", **changes)
            continue
        with pytest.raises(ConfigError, match="positions: sinusoidal positions need an even dim, not dim=5"):
            small("decoder", **changes)


# ------------------------------------------------------------------------------------------------- released equivalents

SIZE: dict[str, Any] = {"vocab_size": 23, "hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 1}
IDS, SEGMENTS = torch.tensor([[1, 5, 2, 22], [3, 3, 0, 7]]), torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1]])
HIDDEN = torch.randn(2, 4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


def ours(family: str, pairs: dict[str, str], theirs: Any, **changes: Any) -> Model:
    """A model whose embedding and head have the weights of another; `pairs` are our names and theirs."""
    config = small(family, **changes)
    model = config.build_unset().double().eval()
    own, other = dict(model.named_parameters()), dict(theirs.named_parameters(remove_duplicate=False))
    outside = {name for name in own if ".blocks." not in name and not name.startswith("backbone.stack.norm")}
    assert outside == set(pairs), outside ^ set(pairs)
    with torch.no_grad():
        for name, foreign in pairs.items():
            own[name].copy_(other[foreign])
    return model


def embedded(model: Model, **inputs: Any) -> Tensor:
    backbone: Any = model.backbone
    positions = torch.arange(4)[None]
    out: Tensor = backbone.embedding(IDS, positions, inputs.get("segments"), backbone.stack.positions.embed)
    return out


def bert_like(prefix: str, matrix: str, head: dict[str, str]) -> dict[str, str]:
    names = {"tokens": "word", "segments": "token_type"}
    pairs = {f"backbone.embedding.{o}.weight": f"{prefix}.embeddings.{t}_embeddings.weight" for o, t in names.items()}
    pairs["backbone.stack.schemes.0.table.weight"] = f"{prefix}.embeddings.position_embeddings.weight"
    modules = {"backbone.embedding.norm": f"{prefix}.embeddings.LayerNorm", "backbone.embedding.projection": matrix}
    modules |= {f"heads.main.transform.{name}": theirs for name, theirs in head.items()}
    return pairs | {f"{o}.{kind}": f"{t}.{kind}" for o, t in modules.items() for kind in ("weight", "bias")}


FACTORIZED: dict[str, Any] = {
    "embedding": {"factorization": {"dim": 6}, "norm": True, "num_segments": 2},
    "positions": "learned",
    "placement": "post",
    "norm": {"kind": "layer_norm", "eps": 1e-12},
}


def test_albert() -> None:
    config = AlbertConfig(
        **SIZE, embedding_size=6, max_position_embeddings=32, intermediate_size=24, hidden_act="gelu_new"
    )
    oracle = oracle_model(AlbertForMaskedLM, config)
    head = {"dense": "predictions.dense", "norm": "predictions.LayerNorm"}
    pairs = bert_like("albert", "albert.encoder.embedding_hidden_mapping_in", head)
    pairs["heads.main.bias"] = "predictions.bias"
    heads = {"main": {"kind": "language_model", "bias": True, "transform": "gelu_tanh"}}
    model = ours("encoder", pairs, oracle, heads=heads, **FACTORIZED)
    albert: Any = oracle
    with lifted():
        theirs = albert.albert.encoder.embedding_hidden_mapping_in(albert.albert.embeddings(IDS, SEGMENTS))
        logits = albert.predictions(HIDDEN)
    torch.testing.assert_close(embedded(model, segments=SEGMENTS), theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.heads["main"](HIDDEN), logits, rtol=0, atol=1e-12)


def test_electra() -> None:
    config = ElectraConfig(**SIZE, embedding_size=6, max_position_embeddings=32, intermediate_size=24)
    oracle = oracle_model(ElectraForMaskedLM, config)
    head = {"dense": "generator_predictions.dense", "norm": "generator_predictions.LayerNorm"}
    pairs = bert_like("electra", "electra.embeddings_project", head)
    pairs["heads.main.bias"] = "generator_lm_head.bias"
    heads = {"main": {"kind": "language_model", "bias": True, "transform": "gelu"}}
    model = ours("encoder", pairs, oracle, heads=heads, **FACTORIZED)
    electra: Any = oracle
    with lifted():
        theirs = electra.electra.embeddings_project(electra.electra.embeddings(IDS, SEGMENTS))
        logits = electra.generator_lm_head(electra.generator_predictions(HIDDEN))
    torch.testing.assert_close(embedded(model, segments=SEGMENTS), theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.heads["main"](HIDDEN), logits, rtol=0, atol=1e-12)


def test_opt() -> None:
    config = OPTConfig(**SIZE, word_embed_proj_dim=6, max_position_embeddings=32, ffn_dim=24, pad_token_id=None)
    oracle = oracle_model(OPTForCausalLM, config)
    pairs = {
        "backbone.embedding.tokens.weight": "model.decoder.embed_tokens.weight",
        "backbone.embedding.token_projection.weight": "model.decoder.project_in.weight",
        "backbone.stack.schemes.0.table.weight": "model.decoder.embed_positions.weight",
        "heads.main.transform.weight": "model.decoder.project_out.weight",
    }
    changes = {"embedding": {"factorization": {"dim": 6, "order": "tokens", "bias": False}}}
    model = ours("decoder", pairs, oracle, positions={"kind": "learned", "offset": 2}, **changes)
    opt: Any = oracle
    with lifted():
        decoder, mask = opt.model.decoder, torch.ones(2, 4).long()
        theirs = decoder.project_in(decoder.embed_tokens(IDS)) + decoder.embed_positions(mask, 0)
        logits = opt.lm_head(decoder.project_out(HIDDEN))
    torch.testing.assert_close(embedded(model), theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.heads["main"](HIDDEN), logits, rtol=0, atol=1e-12)
