"""What every family keeps: its heads, its dropout, its counts, its precision, its refusals, and that it can learn."""

import copy
import gc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import zoo
from tests import laws
from zoo.config import build, to_mapping
from zoo.config_text import read_yaml, to_yaml
from zoo.errors import ConfigError, DataError, ZooError
from zoo.generation.generate import generate
from zoo.generation.roles import TokenRoles
from zoo.models import Model, ModelConfig, base
from zoo.models.base import Backbone, row_positions
from zoo.models.create import create_model, model_config
from zoo.nn.loss import token_loss

FAMILIES = list(ModelConfig.choices)
SMALL: dict[str, Any] = {
    "dim": 16,
    "num_layers": 2,
    "num_heads": 4,
    "max_length": 16,
    "vocab_size": 13,
    "heads": {"language_model": "language_model"},
}


def small(family: str, **changes: Any) -> Model:
    return create_model({**SMALL, "kind": family}, **changes)


def inputs(family: str, batch: int = 2, length: int = 6) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = {"tokens": torch.randint(13, (batch, length), generator=generator)}
    if family == "encoder_decoder":
        sides["decoder_tokens"] = torch.randint(13, (batch, length), generator=generator)
    return sides


# -------------------------------------------------------------------------------------------------------------- forward


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_by_head(family: str) -> None:
    model = small(family, heads={"other": "language_model"})
    logits = model(**inputs(family))
    assert list(logits) == ["language_model", "other"]
    hidden = model.backbone(**inputs(family))
    assert hidden.shape == (2, 6, 16)
    for name, found in logits.items():
        assert torch.equal(found, model.heads[name](hidden))
        assert found.shape == (2, 6, 13)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_without_heads_is_a_backbone(family: str) -> None:
    model = create_model({**SMALL, "kind": family, "heads": {}})
    assert model(**inputs(family)) == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_do_not_see_each_other(family: str) -> None:
    model, given = small(family).double(), inputs(family)
    whole = model.backbone(**given)
    for row in range(2):
        alone = model.backbone(**{name: values[row : row + 1] for name, values in given.items()})
        torch.testing.assert_close(whole[row : row + 1], alone)


@pytest.mark.parametrize("family", FAMILIES)
def test_absent_inputs_have_their_meaning(family: str) -> None:
    """No positions: 0, 1, …; no documents: one document; no segments: the first."""
    changes = {} if family == "encoder_decoder" else {"embedding": {"num_segments": 2}}
    model, given = small(family, **changes).double(), inputs(family)
    spelled = dict(given)
    for side in [name.removesuffix("tokens") for name in given]:
        spelled[f"{side}positions"] = torch.arange(6).expand(2, -1)
        spelled[f"{side}documents"] = torch.full((2, 6), 0)
    if changes:
        spelled["segments"] = torch.zeros(2, 6, dtype=torch.long)
    torch.testing.assert_close(model.backbone(**given), model.backbone(**spelled))


@pytest.mark.parametrize("family", ModelConfig.choices)
def test_a_backbone_says_what_reads_and_what_writes(family: str) -> None:
    model = laws.build(laws.small(family))
    backbone, sides = model.backbone, model.config.sides()
    stacks = [backbone.reading_stack, backbone.writing_stack]
    assert [stack.config for stack in stacks] == [sides[0].stack, sides[-1].stack]
    assert [stack.causal for stack in stacks] == [sides[0].causal, sides[-1].causal]
    assert backbone.writes_apart == (stacks[0] is not stacks[1])
    tokens, seen = torch.tensor([[1, 2, 3]]), []
    stacks[0].register_forward_hook(lambda _, __, hidden: seen.append(hidden))
    assert torch.equal(backbone.read(tokens, None, None), *seen)


@pytest.mark.parametrize("name", ["reading_stack", "writing_stack", "tokens", "read"])
def test_what_an_own_backbone_lacks_is_told(name: str) -> None:
    class Mine(Backbone):
        pass

    with pytest.raises(ZooError, match=f"backbone Mine has no {name}, which is needed here; write it in the class as"):
        getattr(Mine(), name)(torch.zeros(1, 1), None, None)


def test_row_positions() -> None:
    assert row_positions(torch.zeros(3, 4)).tolist() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_in_lower_precision(family: str) -> None:
    """Autocast and bfloat16 weights stay near the exact hidden states, which are of size 1."""
    exact = small(family).double().backbone(**inputs(family))
    with torch.autocast("cpu", torch.bfloat16):
        mixed = small(family).backbone(**inputs(family))
    low = small(family).to(torch.bfloat16).backbone(**inputs(family))
    torch.testing.assert_close(small(family).backbone(**inputs(family)).double(), exact, rtol=0, atol=1e-5)
    torch.testing.assert_close(mixed.double(), exact, rtol=0, atol=0.05)
    torch.testing.assert_close(low.double(), exact, rtol=0, atol=0.1)


# -------------------------------------------------------------------------------------------------------------- dropout

# how many modules drop in a stack of 2 layers: of an encoder or decoder, and of an encoder-decoder
PLACES = {"embedding": (1, 2), "attention": (2, 6), "residual": (4, 10), "feed_forward": (2, 4), "final": (1, 2)}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", PLACES)
def test_dropout_field_by_field(family: str, place: str) -> None:
    model, still = small(family, dropout={place: 0.5}), small(family)
    modules = sum(isinstance(part, nn.Dropout) for part in model.modules())
    scores = sum(hasattr(part, "scoring") and part.scoring.in_training.dropout > 0 for part in model.modules())
    assert modules + scores == PLACES[place][family == "encoder_decoder"]
    given = inputs(family)
    assert torch.equal(model.eval().backbone(**given), still.backbone(**given))
    torch.manual_seed(1)
    first = model.train().backbone(**given)
    assert not torch.allclose(first, still.backbone(**given))
    assert not torch.equal(model.backbone(**given), first)
    torch.manual_seed(1)
    assert torch.equal(model.backbone(**given), first)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_dropout_draws_nothing(family: str) -> None:
    model, state = small(family).train(), torch.get_rng_state()
    model(**inputs(family))
    assert torch.equal(torch.get_rng_state(), state)


# ------------------------------------------------------------------------------------------------------------- building


@pytest.mark.parametrize("family", FAMILIES)
def test_counting_on_the_meta_device(family: str) -> None:
    with torch.device("meta"):
        ghost = model_config({**SMALL, "kind": family}).build_unset()
    assert ghost.num_parameters == small(family).num_parameters
    assert all(parameter.is_meta for parameter in ghost.parameters())


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_move_between_models(family: str) -> None:
    one, other, given = small(family), small(family, seed=1), inputs(family)
    assert not torch.equal(one.backbone(**given), other.backbone(**given))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.backbone(**given), other.backbone(**given))
    assert torch.equal(copy.deepcopy(one).backbone(**given), one.backbone(**given))


@pytest.mark.parametrize("family", FAMILIES)
def test_config_survives_yaml(family: str, tmp_path: Any) -> None:
    config = model_config(
        {**SMALL, "kind": family}, positions="relative", attention={"query_key_norm": {"norm": "rms_norm"}}
    )
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml({"model": to_mapping(config)}))
    assert build(ModelConfig, read_yaml(path).settings["model"]) == config == model_config(config)


# ------------------------------------------------------------------------------------------------------------ learning


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_can_be_learned_by_heart(family: str) -> None:
    """Labels that are the tokens of the main side: the way from input to loss works, and gradients point down."""
    model, given = small(family), inputs(family)
    labels = list(given.values())[-1].flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        loss = token_loss(model.heads["language_model"], model.backbone(**given).flatten(0, 1), labels)
        (loss / len(labels)).backward()
        optimizer.step()
    assert loss / len(labels) < 0.05


@pytest.mark.parametrize("family", FAMILIES)
def test_every_parameter_is_trained(family: str) -> None:
    model = small(family)
    model(**inputs(family))["language_model"].square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"positions": "rotary", "head_dim": 3}, "positions: rotary positions need an even head_dim, not head_dim=3"),
        ({"embedding": {"padding_token": 13}}, r"embedding\.padding_token: 13 is not below vocab_size=13"),
        ({"num_heads": 3}, "num_heads: 3 heads do not divide dim=16"),
        (
            {"dim": 15, "num_heads": 3, "positions": "sinusoidal"},
            "positions: sinusoidal positions need an even dim, not",
        ),
    ],
)
def test_choices_that_do_not_go_together(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        model_config({**SMALL, "kind": family}, **changes)


@pytest.mark.parametrize("family", FAMILIES)
def test_vocabulary_that_is_not_known_yet(family: str) -> None:
    config = model_config({**SMALL, "kind": family, "vocab_size": None}, embedding={"padding_token": 99})
    with pytest.raises(ConfigError, match="vocab_size: is not known; give it, for example vocab_size=4096"):
        config.build()


@pytest.mark.parametrize("family", FAMILIES)
def test_bad_ids(family: str) -> None:
    given = {name: values.clone() for name, values in inputs(family).items()}
    list(given.values())[-1][1, 3] = 13
    with pytest.raises(DataError, match="token id 13 is outside 0 … 12"):
        small(family)(**given)


@pytest.mark.parametrize("tokens", [torch.zeros(1, 3), torch.zeros(3, dtype=torch.int64), torch.tensor([[True]])])
@pytest.mark.parametrize("name", ["tokens", "decoder_tokens"])
def test_what_is_no_token_ids_is_refused(name: str, tokens: Tensor) -> None:
    preset = "t5-nano" if name == "decoder_tokens" else "gpt-nano"
    inputs = {"tokens": torch.ones(1, 3, dtype=torch.int64), name: tokens}
    with pytest.raises(DataError, match=f"{name} must be token ids, .rows, length. of int64, not "):
        create_model(preset)(**inputs)


@pytest.mark.parametrize("family", FAMILIES)
def test_inputs_that_a_family_does_not_take(family: str) -> None:
    with pytest.raises(
        DataError, match=f"a model of kind '{family}' takes no decoder_prefix, mask; it takes: tokens, "
    ):
        small(family)(**inputs(family), decoder_prefix=torch.ones(2, 6).bool(), mask=None)


def test_inputs_have_names() -> None:
    with pytest.raises(ConfigError, match="by name: write tokens=…; it takes: tokens, "):
        small("decoder")(torch.zeros(1, 3, dtype=torch.int64))


@pytest.mark.parametrize("family", ["encoder", "encoder_decoder"])
def test_a_prefix_is_of_a_decoder(family: str) -> None:
    with pytest.raises(DataError, match=f"a model of kind '{family}' takes no prefix"):
        small(family)(**inputs(family), prefix=torch.ones(2, 6).bool())


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_longer_than_learned_positions(family: str) -> None:
    with pytest.raises(
        DataError, match="position 19 is outside 0 … 15; shorten the input or choose a larger max_length"
    ):
        small(family)(**inputs(family, length=20))
    assert small(family, positions="rotary").backbone(**inputs(family, length=20)).isfinite().all()


def test_unknown_family() -> None:
    with pytest.raises(ConfigError, match="kind: unknown model 'encodder'; did you mean 'encoder'"):
        build(ModelConfig, {"kind": "encodder"})


# ------------------------------------------------------------------------------------------------- padded vocabularies


@pytest.mark.parametrize("family", ModelConfig.choices)
@pytest.mark.parametrize("tied", [True, False])
def test_a_padded_table_changes_nothing_but_its_size(family: str, tied: bool) -> None:
    """The same weights where there are any, the same logits and gradients; spare rows are zero and stay it."""
    heads = {"main": {"kind": "language_model", "tied": tied, "bias": True}}
    plain, padded = (
        laws.small(family, heads=heads, vocab_multiple=multiple).build(seed=3).double() for multiple in (1, 8)
    )
    tokens = torch.tensor([[1, 5, 2, 22]])
    inputs = {"tokens": tokens} | ({"decoder_tokens": tokens} if family == "encoder_decoder" else {})
    logits = [model(**inputs)["main"] for model in (plain, padded)]
    assert logits[1].shape[-1] == 23
    torch.testing.assert_close(*logits)
    for each in logits:
        each.logsumexp(-1).sum().backward()
    for (name, one), (_, other) in zip(plain.named_parameters(), padded.named_parameters(), strict=True):
        assert torch.equal(one, other[: len(one)]), name
        assert one.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(one.grad, other.grad[: len(one)])
        if len(other) != len(one):
            assert len(other) == 24
            assert (other[23:] == 0).all()
            assert (other.grad[23:] == 0).all()
    assert padded.num_parameters - plain.num_parameters == 16 * (1 if tied else 2)


def test_a_multiple_of_the_vocabulary_needs_no_padding() -> None:
    assert laws.small("decoder", vocab_multiple=23).build().backbone.tokens.weight.shape == (23, 16)


def test_padded_tables_are_stored_and_written_by(tmp_path: Path) -> None:
    model = laws.small("decoder", vocab_multiple=64, heads={"language_model": "language_model"}).build()
    zoo.save(model, tmp_path / "model")
    loaded = zoo.load(tmp_path / "model")
    assert loaded.model.backbone.tokens.weight.shape == (64, 16)
    roles = TokenRoles(vocab_size=64, padding=0)
    with torch.no_grad():  # were they ever predicted, this would make them win
        loaded.model.backbone.tokens.weight[23:] = 100
    written = generate(loaded.model, [[1, 2], [3]], roles, max_new_tokens=5)
    assert all(token < 23 for row in written for token in row.tokens)


def test_collector_rests_while_a_model_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(base, "initialize", lambda *arguments: seen.append(gc.isenabled()))
    model_config("gpt-nano").build()
    assert (seen, gc.isenabled()) == ([False], True)
    gc.disable()
    try:
        model_config("gpt-nano").build()
        assert not gc.isenabled()
    finally:
        gc.enable()
