"""`zoo list`."""

from pathlib import Path
from typing import Any

from tests.cli.tiny import Command
from zoo.cli.list import OWN_LISTS, about, choice_rows
from zoo.interop import ARCHITECTURES
from zoo.models.presets import PRESETS
from zoo.registry import Choice, tables
from zoo.training.shipped import shipped_configs


def test_lists_every_preset_and_config(command: Command) -> None:
    status, out, err = command("list")
    assert (status, err) == (0, "")
    words = out.split()
    assert {*PRESETS, *shipped_configs()} <= set(words)
    assert f"{PRESETS['bert-base'].parameters:,}" in words
    assert "arXiv:1810.04805, section 3" in out


def test_pattern(command: Command) -> None:
    out = command("list", "t5-v*").out
    assert "t5-v1.1-small" in out
    assert "bert" not in out


def is_ours(entry: Any) -> bool:
    """Whether it is of the package: what other tests register may be without a docstring."""
    return (entry if hasattr(entry, "__name__") else type(entry)).__module__.startswith("zoo.")


def test_choices_hold_every_registry() -> None:
    rows = list(choice_rows())
    names = sorted((noun, name) for noun, entries in tables() for name in entries)
    assert {"kernel", "tokenizer", "cache", "pooling", "unsafe format"} <= {noun for noun, _ in names}
    assert sorted(row[:2] for row in rows) == [name for name in names if name[0] not in OWN_LISTS]
    ours = [(noun, name) for noun, entries in tables() for name, entry in entries.items() if is_ours(entry)]
    assert {row[:2] for row in rows if not row[2]}.isdisjoint(ours)


def test_new_choice_is_listed_without_more_ado() -> None:
    class Flavour(Choice, noun="flavour"):
        """A family."""

    class Sour(Flavour, kind="sour"):
        """Like lemons."""

    assert ("flavour", "sour", "Like lemons.") in list(choice_rows())
    Flavour.choices.clear()


def test_choices_of_one_noun(command: Command) -> None:
    out = command("list", "--choices", "placement").out
    assert "branch_output" in out
    assert "rotary" not in out
    assert "rotary scaling" in command("list", "--choices", "scaling").out
    assert "norm placement" not in command("list", "--choices", "norm").out  # a whole noun is more than a word of one
    assert "unknown choice 'place'" in command("list", "--choices", "place").err


def test_what_a_config_is_about(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("# zoo pretrain a\n#\n# A small GPT, arXiv:1.2. More\n# words.\nseed: 1\n# no\n")
    assert about(tmp_path / "a.yaml") == "A small GPT, arXiv:1.2"
    (tmp_path / "b.yaml").write_text("seed: 1\n")
    assert about(tmp_path / "b.yaml") == ""


def test_the_beginning_of_names_is_told_as_a_pattern(command: Command) -> None:
    assert 'write zoo list "bert*"' in command("list", "bert").err


def test_architectures(command: Command) -> None:
    assert max(map(len, command("list", "--architectures").out.splitlines())) <= 130
    told = command("list", "--architectures").out
    assert all(name in told for name in ARCHITECTURES)
    some = command("list", "--architectures", "gpt*").out
    assert "GPT2LMHeadModel" in some
    assert "LlamaForCausalLM" not in some
    assert "unknown architecture 'gtp2'; did you mean 'gpt2'" in command("list", "--architectures", "gtp2").err
    assert "not both" in command("list", "--architectures", "--choices").err
