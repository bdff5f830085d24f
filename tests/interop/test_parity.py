"""Every architecture equals transformers, only with the right config, and comes back bit for bit.

These tests are the same for all; what is particular to one architecture is in its own file.
"""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tests.interop.cases import CASES, FIRST, VARIANTS
from tests.interop.mutations import MOVES, REFUSED, baseline, effect, effects, fields_of, mutated, why_unseen
from tests.interop.parity import (
    TOLERANCE,
    foreign_changes,
    foreign_config,
    harm,
    oracle,
    our_config,
    our_model,
    our_weights,
    parity,
    round_trip,
    with_kernel,
)
from zoo.config import difference
from zoo.errors import ConfigError
from zoo.interop import ARCHITECTURES, read_config, write_config
from zoo.interop.attempt import attempt
from zoo.interop.export import write_transformers
from zoo.interop.folder import read_foreign_weights
from zoo.nn import loss


def marks(name: str) -> Any:
    """Of a test that is there for each field of a case."""
    fast = name in FIRST.values() and CASES[name].architecture not in VARIANTS
    return () if fast else pytest.mark.slow


FIELDS = [pytest.param(name, path, marks=marks(name)) for name in CASES for path in fields_of(baseline(name))]


def test_every_architecture_has_a_case() -> None:
    assert set(FIRST) == set(ARCHITECTURES)


@pytest.mark.parametrize("kernel", ["reference", "sdpa"])
@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("name", CASES)
def test_parity(name: str, padding: str, kernel: str) -> None:
    try:
        with_kernel(our_config(name), kernel)
    except ConfigError:
        pytest.skip("this kernel refuses it")
    assert max(parity(name, padding, kernel)) < TOLERANCE


@pytest.mark.parametrize("name", CASES)
def test_parity_of_the_loss_in_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    vocab_size = our_config(name).vocab_size
    assert vocab_size is not None
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", 3 * vocab_size)
    assert max(parity(name, "right", "reference")) < TOLERANCE
    assert max(parity(name, "left", "reference", gather=True)) < TOLERANCE


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_pages_say_what_is_tested(page: str) -> None:
    said = re.findall(r"to\s+(1e-\d+)", (ROOT / page).read_text(encoding="utf-8"))
    assert said == [f"{TOLERANCE:g}"]


@pytest.mark.parametrize("name", CASES)
def test_round_trip(name: str) -> None:
    round_trip(name)


@pytest.mark.parametrize("name", CASES)
def test_no_change_moves_nothing(name: str) -> None:
    """The baseline of the next tests: what they measure is the change, not how they measure."""
    assert effect(name, baseline(name)) < TOLERANCE


@pytest.mark.parametrize("name, path", FIELDS)
def test_each_field_is_seen_or_refused(name: str, path: str) -> None:
    moved = effects(name, path)
    if why_unseen(name, path):
        assert all(moves < MOVES for moves in moved)
    else:
        first = next(moved, REFUSED)
        assert any(moves > MOVES or moves == REFUSED for moves in itertools.chain([first], moved))


def test_a_field_that_is_not_seen_is_caught() -> None:
    """The check can fail: this model does not notice how many positions it may have."""
    moved = [*effects("llama", "max_length")]
    assert moved
    assert max(moved) < MOVES


@pytest.mark.parametrize("name", CASES)
def test_a_bias_that_cannot_be_seen_does_not_fit_all_the_same(name: str) -> None:
    if not why_unseen(name, "attention.key_bias"):
        return
    has = our_config(name).attention.key_bias  # type: ignore[attr-defined]
    model = mutated(our_config(name), "attention.key_bias", not has).build_unset()
    with pytest.raises(RuntimeError, match=r"key\.bias"):
        model.load_state_dict(our_weights(name))


@pytest.mark.parametrize("name", CASES)
def test_dtypes_stay(name: str) -> None:
    assert {tensor.dtype for tensor in our_weights(name).values()} == {torch.float64}


# ------------------------------------------------------------------------------------------------------ foreign configs


@pytest.mark.parametrize("name", FIRST.values())
def test_what_is_left_out_is_what_transformers_says(name: str) -> None:
    """The defaults of a table are those of the foreign config."""
    architecture, defaults = CASES[name].architecture, type(CASES[name].config)().to_dict()
    empty, spelled_out = (write_config(architecture, read_config(architecture, given)) for given in ({}, defaults))
    assert difference(empty, spelled_out) == []


@pytest.mark.parametrize("name", FIRST.values())
def test_a_field_that_no_table_knows_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(CASES[name].architecture, {**foreign_config(name), "turbo_attention": True})
    assert caught.value.key == "turbo_attention"


@pytest.mark.parametrize("name", FIRST.values())
def test_fields_that_a_table_calls_harmless_change_nothing(name: str) -> None:
    harmless = ARCHITECTURES[CASES[name].architecture].harmless
    moved = {
        field: harm(name, field, values[0])
        for field, values in foreign_changes(name).items()
        if field in harmless and values and not isinstance(values[0], str)
    }
    assert moved
    assert {field for field, moves in moved.items() if moves > TOLERANCE} == set()


def test_a_field_that_is_not_harmless_is_caught() -> None:
    assert harm("llama", "rms_norm_eps", 1e-2) > MOVES


# ---------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("name", FIRST.values())
def test_what_transformers_saves_is_opened(name: str, tmp_path: Path) -> None:
    oracle(name).save_pretrained(tmp_path)  # type: ignore[operator]
    ours = read_foreign_weights(tmp_path)
    assert ours.keys() == our_weights(name).keys()
    assert all(torch.equal(ours[key], our_weights(name)[key]) for key in ours)


@pytest.mark.parametrize("name", FIRST.values())
def test_what_is_written_is_opened_by_transformers(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    write_transformers(our_model(name), {}, tmp_path, attempt(case.architecture, our_config(name)))
    opened, told = case.model_class.from_pretrained(tmp_path, dtype=torch.float64, output_loading_info=True)
    ignored = ARCHITECTURES[case.architecture].ignored
    assert not {*told["missing_keys"]} - {*ignored}
    assert not told["unexpected_keys"]
    expected = oracle(name).state_dict()
    found = opened.state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected if key not in ignored)
