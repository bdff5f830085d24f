"""The decoder sees its past and the input; both sides share the token table and nothing else."""

from pathlib import Path
from typing import Any

import pytest
import torch

import zoo
from tests.laws import assert_laws, small
from zoo.errors import ConfigError
from zoo.models.create import create_model, model_config
from zoo.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from zoo.nn.stack import Memory

SETTINGS = {"kind": "encoder_decoder", "dim": 8, "num_layers": 2, "num_heads": 2, "vocab_size": 11, "max_length": 8}
TOKENS, DECODER_TOKENS = torch.tensor([[1, 2, 3]]), torch.tensor([[4, 5, 6, 7]])


def model(**changes: object) -> EncoderDecoder:
    backbone = create_model(SETTINGS, **changes).double().backbone
    assert isinstance(backbone, EncoderDecoder)
    return backbone


def changed(side: str, place: int, **inputs: torch.Tensor) -> list[bool]:
    """Which hidden states of the decoder change when a token of one side does."""
    given = {"tokens": TOKENS, "decoder_tokens": DECODER_TOKENS}
    other = {**given, side: given[side].clone()}
    other[side][0, place] = 9
    backbone = model()
    return (backbone(**given, **inputs) != backbone(**other, **inputs)).any(-1)[0].tolist()


@pytest.mark.parametrize("place", range(4))
def test_decoder_sees_its_past(place: int) -> None:
    assert changed("decoder_tokens", place) == [False] * place + [True] * (4 - place)


@pytest.mark.parametrize("place", range(3))
def test_decoder_sees_the_whole_input(place: int) -> None:
    assert changed("tokens", place) == [True] * 4


def test_documents_of_both_sides_belong_together() -> None:
    documents = {"documents": torch.tensor([[0, 1, -1]]), "decoder_documents": torch.tensor([[1, 1, 0, -1]])}
    assert changed("tokens", 0, **documents) == [False, False, True, False]
    assert changed("tokens", 1, **documents) == [True, True, False, False]
    assert changed("tokens", 2, **documents) == [False] * 4
    assert changed("decoder_tokens", 0, **documents) == [True, True, False, False]


def test_forward_is_encode_then_decode() -> None:
    backbone = model()
    memory = backbone.encode(TOKENS)
    assert memory.documents_BS is None
    torch.testing.assert_close(backbone.decode(DECODER_TOKENS, memory), backbone(TOKENS, DECODER_TOKENS))
    padded = torch.tensor([[0, 0, -1]])
    memory = backbone.encode(TOKENS, documents=padded)
    assert torch.equal(memory.documents_BS, padded)  # type: ignore[arg-type]
    alone = backbone.encode(TOKENS[:, :2])
    torch.testing.assert_close(backbone.decode(DECODER_TOKENS, memory), backbone.decode(DECODER_TOKENS, alone))


def test_the_encoder_sees_both_ways() -> None:
    backbone = model()
    one, other = (backbone.encode(torch.tensor([[1, 2, last]])).hidden_BSD for last in (3, 9))
    assert (one != other).any(-1).all()


def test_encoder_and_decoder_have_depths_of_their_own() -> None:
    backbone = model(decoder={"num_layers": 1})
    assert (len(backbone.encoder.blocks), len(backbone.decoder.blocks)) == (2, 1)
    assert (len(model().encoder.blocks), len(model().decoder.blocks)) == (2, 2)


def test_only_the_token_table_is_shared() -> None:
    backbone = model(positions="relative", embedding={"norm": True})
    assert backbone.encoder_embedding.tokens is backbone.decoder_embedding.tokens is backbone.tokens
    names = dict(backbone.named_parameters())
    assert "encoder.schemes.0.table.weight" in names
    assert "decoder.schemes.0.table.weight" in names
    assert "encoder_embedding.norm.weight" in names
    assert "decoder_embedding.norm.weight" in names
    assert len({parameter.data_ptr() for parameter in names.values()}) == len(names)


def test_relative_positions_of_the_encoder_are_two_sided() -> None:
    backbone = model(positions="relative")
    assert not backbone.encoder.positions.causal
    assert backbone.decoder.positions.causal


def test_segments_are_refused() -> None:
    message = r"embedding\.num_segments: model 'encoder_decoder' takes no segments: must be 0, not 2"
    with pytest.raises(ConfigError, match=message):
        model_config(SETTINGS, embedding={"num_segments": 2})


def test_odd_head_width_is_refused_for_both_sides() -> None:
    assert [side.causal for side in EncoderDecoderConfig().sides()] == [False, True]
    assert EncoderDecoderConfig.causal


def test_gradients_reach_the_encoder() -> None:
    backbone, memory = model(), torch.randn(1, 3, 8, dtype=torch.float64, requires_grad=True)
    backbone.decode(DECODER_TOKENS, Memory(memory, None)).sum().backward()
    assert memory.grad is not None
    assert (memory.grad != 0).all()


# ------------------------------------------------------------------------------------------------- sides that differ

OTHER: dict[str, Any] = {
    "num_layers": 3,
    "dim": 32,
    "num_heads": 8,
    "num_kv_heads": 2,
    "feed_forward_dim": 20,
    "max_length": 16,
    "positions": "rotary",
    "norm": "rms_norm",
    "placement": "post",
    "feed_forward": {"kind": "gated"},
    "dropout": {"final": 0.1},
}


@pytest.mark.parametrize("name", OTHER)
def test_any_setting_of_the_stack_may_differ(name: str) -> None:
    change = {name: OTHER[name]}
    config = small("encoder_decoder", decoder=change, share_tokens=name != "dim")
    assert isinstance(config, EncoderDecoderConfig)
    other = small("decoder", **change)
    decoder, encoder = config.decoder_config(), small("encoder")
    assert getattr(decoder, name) == getattr(other, name) != getattr(encoder, name)
    assert getattr(config, name) == getattr(encoder, name)
    assert_laws(config)


def test_all_at_once() -> None:
    assert_laws(small("encoder_decoder", decoder=OTHER, share_tokens=False))


def test_sides_of_two_widths_share_a_factorized_table() -> None:
    config = small("encoder_decoder", decoder={"dim": 32}, embedding={"factorization": {"dim": 8}})
    assert config.build().backbone.tokens.weight.shape == (23, 8)
    assert_laws(config)


def test_each_side_is_built_as_its_settings_say() -> None:
    backbone = model(decoder={"dim": 12, "num_heads": 3, "feed_forward_dim": 5, "norm": "rms_norm"}, share_tokens=False)
    block = backbone.decoder.blocks[0]
    assert block.cross_attention.sublayer.project.query.weight.shape == (12, 12)  # type: ignore[union-attr]
    assert block.cross_attention.sublayer.project.key.weight.shape == (12, 8)  # type: ignore[union-attr]
    assert backbone.encoder_embedding.tokens.weight.shape == (11, 8)
    assert backbone.tokens.weight.shape == backbone.decoder_embedding.tokens.weight.shape == (11, 12)
    assert isinstance(backbone.encoder.norm, torch.nn.LayerNorm)
    assert isinstance(backbone.decoder.norm, torch.nn.RMSNorm)
    assert backbone.decoder.positions.table.weight.shape == (8, 12)  # type: ignore[union-attr]


@pytest.mark.parametrize("tied", [False, True])
def test_the_head_reads_the_decoder(tied: bool) -> None:
    head = {"kind": "language_model", "tied": tied, "transform": "gelu"}
    whole = create_model(SETTINGS, decoder={"dim": 12, "num_heads": 3}, share_tokens=False, heads={"main": head})
    assert whole.heads["main"].weight.shape == (11, 12)
    assert (whole.heads["main"].weight is whole.backbone.tokens.weight) == tied
    assert whole(tokens=TOKENS, decoder_tokens=DECODER_TOKENS)["main"].shape == (1, 4, 11)


def test_tables_of_their_own_start_apart() -> None:
    backbone = model(share_tokens=False)
    assert not torch.equal(backbone.encoder_embedding.tokens.weight, backbone.decoder_embedding.tokens.weight)
    assert backbone.tokens is backbone.decoder_embedding.tokens


def test_layers_hold_for_both_sides_unless_the_decoder_changes_them() -> None:
    layers = {"1": {"feed_forward_dim": 5}}
    both = model_config(SETTINGS, layers=layers)
    one = model_config(SETTINGS, layers=layers, decoder={"layers": {"1": None, "0": {"feed_forward_dim": 7}}})
    for config, expected in ((both, [32, 5]), (one, [7, 32])):
        assert isinstance(config, EncoderDecoderConfig)
        assert [layer.inner_dim for layer in config.layer_configs()] == [32, 5]
        assert [layer.inner_dim for layer in config.decoder_config().layer_configs()] == expected


@pytest.mark.parametrize("changes", [{"decoder": OTHER, "share_tokens": False}, {"sharing": "all", "num_layers": 40}])
def test_stored_and_loaded(changes: dict[str, Any], tmp_path: Path) -> None:
    whole = zoo.create_model(SETTINGS, **changes, heads={"language_model": {"kind": "language_model"}}).eval()
    zoo.save(whole, tmp_path / "model")
    loaded = zoo.load(tmp_path / "model").model
    assert loaded.config == whole.config
    inputs = {"tokens": TOKENS, "decoder_tokens": DECODER_TOKENS}
    torch.testing.assert_close(loaded(**inputs), whole(**inputs), rtol=0, atol=0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"decoder": {"num_layer": 1}}, r"decoder\.num_layer: unknown key 'num_layer'; did you mean 'num_layers'"),
        ({"decoder": {"vocab_size": 5}}, r"decoder\.vocab_size: belongs to the whole model"),
        ({"decoder": {"num_layers": 2}}, r"decoder: changes nothing: {'num_layers': 2} holds for the encoder already"),
        ({"decoder": {"num_heads": 3}}, r"decoder\.num_heads: 3 heads do not divide dim=8"),
        ({"decoder": {"attention": {"windw": 1}}}, r"decoder\.attention\.windw: .*did you mean 'window'"),
        ({"decoder": {"dim": 16}}, r"decoder\.dim: 16 is not the encoder's dim=8, .* set share_tokens=false"),
        ({"decoder": {"positions": "rotary", "head_dim": 3}}, r"decoder\.positions.*: .*even head_dim"),
        (
            {"decoder": {"layers": {"3": {"feed_forward_dim": 5}}}},
            r"decoder\.layers\.3: meets no layer of num_l",
        ),
        (
            {"decoder": {"num_layers": 1}, "layers": {"1": {"feed_forward_dim": 5}}},
            r"decoder\.layers\.1: meets no",
        ),
        ({"decoder": {"sharing": {"kind": "cycle", "num_blocks": 5}}}, r"decoder\.sharing\.num_blocks: 5 blocks"),
    ],
)
def test_changes_that_do_not_fit(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_config(SETTINGS, **changes)


def test_one_matrix_for_queries_and_keys_of_two_widths_is_refused_when_the_config_is_loaded() -> None:
    shared = {"attention": {"shared_query_key": True}}
    narrow = {"dim": 64, "num_heads": 4}
    told = r"attention\.shared_query_key: one matrix cannot read queries of dim=64 and a memory of dim=128"
    with pytest.raises(ConfigError, match=rf"^decoder\.{told}"):
        model_config("t5-nano", share_tokens=False, decoder={**narrow, **shared})
    with pytest.raises(ConfigError, match=rf"^decoder\.layers\.1\.{told}"):
        model_config("t5-nano", share_tokens=False, decoder={**narrow, "layers": {"1": shared}})
    model_config("t5-nano", decoder=shared)
    encoder = {"attention": {"shared_query_key": True}}
    model_config("t5-nano", share_tokens=False, **encoder, decoder={**narrow, "attention": {"shared_query_key": False}})
