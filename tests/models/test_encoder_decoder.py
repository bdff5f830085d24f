"""The decoder sees its past and the input; both sides share the token table and nothing else."""

import pytest
import torch

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
    backbone = model(num_decoder_layers=1)
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
    assert EncoderDecoderConfig().stack_directions() == (False, True)
    assert EncoderDecoderConfig.causal


def test_gradients_reach_the_encoder() -> None:
    backbone, memory = model(), torch.randn(1, 3, 8, dtype=torch.float64, requires_grad=True)
    backbone.decode(DECODER_TOKENS, Memory(memory, None)).sum().backward()
    assert memory.grad is not None
    assert (memory.grad != 0).all()
