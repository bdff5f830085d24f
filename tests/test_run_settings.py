"""No setting of a run is ignored: each field changes what can be seen of the run, or is refused by name.

Every field of `RunConfig` and of all that may stand in it (but for the model, see `test_settings.py`) is varied on its
own. Fields and kinds come from the dataclasses and the registries; other values from the type, the bounds and the
messages of refusals. What cannot be told from these stands in tables (here and in `run_world.py`), by the label of a
field: its path, with the kind of each group in it (`data.source=text.path`); * is any text between dots, ** any text.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch

from tests.own_blocks import forgotten
from tests.run_observation import CHEAP, CLOSER, RUN, Look, Observed, same
from tests.run_world import EXTRAS, OTHERS, STARTS, base_run, world  # noqa: F401  (a fixture)
from tests.variations import (
    Plain,
    Setting,
    changed,
    configs_in,
    fits,
    is_plain_group,
    label,
    said_of,
    settings_of,
    value_at,
    variations,
)
from zoo.config import Config, build, setting
from zoo.errors import ConfigError, DataError, ZooError
from zoo.models import ModelConfig
from zoo.objectives.base import ObjectiveConfig
from zoo.registry import Choice
from zoo.training.conductor import Conductor
from zoo.training.config import RunConfig
from zoo.training.optimizers.lion import LionConfig

SAME_KIND = "the kind of the group"


class Companions(NamedTuple):
    """Settings beside a field without which it could not act; a key with a dot in front stands in the same group."""

    settings: dict[str, Any]
    reason: str


IN_TOKENS = {"trainer.max_steps": None, "trainer.max_tokens": 400.0}
IN_HOURS = {"trainer.max_steps": None, "trainer.max_hours": 1.0}
NO_WARMUP = {".warmup_steps": 0}
TOGETHER: dict[str, Companions] = {
    "init_from": Companions(
        {"tokenizer": {"kind": "file", "path": "tokenizer"}}, "weights bring their tokenizer; another one is refused"
    ),
    "tokenizer=byte_level_bpe.min_frequency": Companions(
        {".vocab_size": 4000}, "a small vocabulary is full before rare pairs come"
    ),
    "tokenizer=unigram.byte_fallback": Companions({".vocab_size": 500}, "256 bytes need places of their own"),
    "data.**=text.document_start": Companions(
        {".path": "headings.txt", ".document": "file"}, "divides whole files, by the lines that begin a document"
    ),
    "data.**=csv.delimiter": Companions({".path": "semicolons.csv"}, "a table that both delimiters fit"),
    "objectives.main=*.share": Companions(
        {".share": 1.0, "objectives.other": {"kind": SAME_KIND, "share": 1.0}}, "shares are relative to others"
    ),
    "schedule=inverse_square_root.warmup_share": Companions(
        NO_WARMUP | {".warmup_share": 0.5}, "a phase has one length"
    ),
    "schedule=*.warmup_tokens": Companions(IN_TOKENS | NO_WARMUP | {".warmup_tokens": 100.0}, "the unit of the run"),
    "schedule=*.warmup_hours": Companions(IN_HOURS | NO_WARMUP | {".warmup_hours": 0.3}, "the unit of the run"),
    "schedule=*.decay_steps": Companions({".decay_share": None, ".decay_steps": 1}, "a phase has one length"),
    "schedule=*.decay_tokens": Companions(IN_TOKENS | {".decay_share": None, ".decay_tokens": 90.0}, "likewise"),
    "schedule=*.decay_hours": Companions(IN_HOURS | {".decay_share": None, ".decay_hours": 0.3}, "likewise"),
    "trainer.max_tokens": Companions(IN_TOKENS, "one setting says how long a run is"),
    "trainer.max_flops": Companions({"trainer.max_steps": None, "trainer.max_flops": 1e7}, "likewise"),
    "trainer.max_hours": Companions({"trainer.max_steps": None, "trainer.max_hours": 1e-7}, "likewise"),
    "trainer.memory_limit": Companions(
        {".accumulate": "auto", ".memory_limit": 0.0004}, "a limit for as many microbatches as it asks for"
    ),
    "best.metric": Companions({".keep": 1}, "what it judges is kept, or ends the run"),
    "best.patience": Companions(
        {".patience": 1, ".margin": 1e3, "trainer.validate_every": 1}, "a run this short gets better all the time"
    ),
    "best.margin": Companions({".patience": 1, "trainer.validate_every": 1}, "renews patience"),
    "wandb.project": Companions({".enabled": True}, "says where the copy of the log goes"),
    "wandb.entity": Companions({".enabled": True}, "likewise"),
}
"""Reviewed: fields that matter only together with others."""

WITHOUT_EFFECT: dict[str, str] = {
    "trainer.accelerator": "without a GPU there is nothing to choose: auto is the CPU, the others are refused",
}
"""Reviewed: fields that nothing is seen of, and why that is right."""

ONLY_REFUSED: dict[str, str] = {
    "data.source=*.share": "a share of a mixture; a single source has none",
    "data.source=mixture.filter.*": "each source of a mixture has a filter of its own",
    "data.**=huggingface.revision": "of a data set of the hub, which no test asks; a folder has none",
}
"""Reviewed: fields of which every other value is refused by name."""

BY_A_RUN: dict[str, str] = {
    "name": "its folder",
    "objectives.main=*.weight": "the loss in the log",
    "trainer.max_tokens": "the number of its steps",
    "trainer.max_flops": "likewise",
    "trainer.max_hours": "likewise",
    "trainer.gradient_clip": "its weights",
    "trainer.ema**": "the averages in its checkpoints",
    "trainer.validate_every": "rows of its log",
    "trainer.validation_batch_size": "rows of the batches that it validates on",
    "trainer.save_every": "its checkpoints",
    "trainer.keep": "its checkpoints",
    "trainer.log_every": "rows of its log",
    "best.*": "which checkpoint is the best, and the step that it ends with",
    "samples.*": "what the model wrote",
    "logging.*": "its folder, columns of its log",
    "wandb.*": "what is sent",
}
"""Reviewed: fields that are seen in a real run only, and in what."""


# ----------------------------------------------------------------------------------------------------------- all fields


def placed(plain: Plain, where: str, inside: str, alternative: type[Config]) -> Plain | None:
    """The run with this config there, its fields at their starts; None where it is not to be walked."""
    if issubclass(alternative, ModelConfig) or (where.endswith(".sources") and alternative.kind == "mixture"):
        return None
    if where == "objectives":
        plain = base_run(alternative)
    chosen = {"kind": alternative.kind} if issubclass(alternative, Choice) else {}
    there = changed(plain, inside, chosen, keep=not chosen)
    for path, start in starts_of(alternative, there, inside).items():
        there = changed(there, path, start)
    return there


def starts_of(schema: type[Config], plain: Plain, inside: str) -> dict[str, Any]:
    """Where the fields of a config that stands at `inside` begin, by path."""
    paths = [f"{inside}.{field.name}" for field in dataclasses.fields(schema)]
    found = {path: said_of(STARTS, label(plain, path)) for path in paths}
    return {path: start for path, start in found.items() if start is not None}


def all_settings() -> dict[str, Setting]:
    """Every setting of a run but those of the model, by label."""
    base = base_run(ObjectiveConfig.choices["causal_lm"])
    found = {}
    for one in settings_of(RunConfig, "", base, placed):
        if one.path != "model" and not is_plain_group(one.kind):
            found[label(one.plain, one.path)] = one
    return found


def beside(one: Setting, companions: Companions | None) -> Setting:
    """The setting in a run that has these companions too."""
    group, plain = one.path.rpartition(".")[0], one.plain
    for key, value in ({} if companions is None else companions.settings).items():
        if isinstance(value, dict) and value.get("kind") == SAME_KIND:
            value = {**value, "kind": functools.reduce(dict.__getitem__, group.split("."), plain)["kind"]}
        plain = changed(plain, f"{group}{key}" if key.startswith(".") else key, value)
    return one._replace(plain=plain)


# ------------------------------------------------------------------------------------------------------------- verdicts

ACTS, REFUSED, IGNORED = "acts", "is refused", "is ignored"


_BASES: dict[str, Observed] = {}


def observed(config: RunConfig) -> Observed:
    """The run under observation; that of a base serves all of its fields."""
    text = repr(config)
    if text not in _BASES:
        if len(_BASES) == 8:
            _BASES.clear()
        _BASES[text] = Observed(config)
    return _BASES[text]


def others(one: Setting, base: RunConfig) -> list[Any]:
    """Other values of the field, those that are sure to be legal first."""
    try:
        build(RunConfig, changed(one.plain, one.path, "no such value"))
        refusal = ""
    except ZooError as error:
        refusal = str(error)
    found = [*(said_of(OTHERS, label(one.plain, one.path)) or []), *group_starts(one)]
    for other in variations(one.kind, value_at(base, one.path), refusal):
        found += [other] if other != {} or is_named_groups(one.kind) else []
    assert found, f"{label(one.plain, one.path)}: no other value is known; name one in OTHERS"
    return found


def is_named_groups(kind: Any) -> bool:
    """Whether a field holds groups of settings, each with a name."""
    return typing.get_origin(kind) is dict


def group_starts(one: Setting) -> Iterator[Plain]:
    """What may stand where there may be no group, or no named one: its fields at their starts."""
    for schema in configs_in(one.kind):
        if not issubclass(schema, Choice):
            inside = f"{one.path}.main" if is_named_groups(one.kind) else one.path
            starts = {path.rpartition(".")[2]: start for path, start in starts_of(schema, one.plain, inside).items()}
            yield {"main": starts} if is_named_groups(one.kind) else starts


def verdict(one: Setting, looks: tuple[Look, ...]) -> str:
    """What becomes of a setting when it is changed: something acts, all is refused, or nothing is seen of it."""
    base = build(RunConfig, one.plain)
    closer = said_of(CLOSER, label(one.plain, one.path))
    looks = looks if closer is None else (closer,)
    verdicts = []
    for other in others(one, base):
        verdicts.append(compared(observed(base), changed(one.plain, one.path, other), one.path, looks))
        if verdicts[-1] == ACTS:
            return ACTS
    return REFUSED if all(each == REFUSED for each in verdicts) else IGNORED


def compared(base: Observed, plain: Plain, path: str, looks: tuple[Look, ...]) -> str:
    """Whether a changed run differs from its base in what is looked at."""
    try:
        other = Observed(build(RunConfig, plain))
    except ZooError as error:
        return refused(error, path)
    for look in looks:
        expected = base.see(look)
        try:
            found = other.see(look)
        except ZooError as error:
            return refused(error, path)
        if not same(expected, found):
            return ACTS
    return IGNORED


def refused(error: ZooError, path: str) -> str:
    """The verdict on a change that is refused: it must be named."""
    if not names(error, path):
        raise AssertionError(f"what is refused does not name {path}: {error}") from error
    return REFUSED


def names(error: ZooError, path: str) -> bool:
    """Whether a refusal names the field, or says that of the group that it stands in."""
    group, _, name = path.rpartition(".")
    return name in str(error) or (bool(group) and getattr(error, "key", "") == group)


# ---------------------------------------------------------------------------------------------------------------- tests

SETTINGS = all_settings()
TABLES = {
    "STARTS": STARTS,
    "OTHERS": OTHERS,
    "TOGETHER": TOGETHER,
    "WITHOUT_EFFECT": WITHOUT_EFFECT,
    "ONLY_REFUSED": ONLY_REFUSED,
    "BY_A_RUN": BY_A_RUN,
    "CLOSER": CLOSER,
}
IN_A_RUN = [name for name in SETTINGS if said_of(BY_A_RUN, name)]
CHEAPLY = [name for name in SETTINGS if name not in IN_A_RUN and not said_of(WITHOUT_EFFECT, name)]
WITH_COMPANIONS = [name for name in SETTINGS if said_of(TOGETHER, name)]

pytestmark = pytest.mark.usefixtures("world")
on_a_cpu = pytest.mark.skipif(torch.cuda.is_available(), reason="here accelerators can be chosen")


def needs(name: str) -> None:
    """Skips a test where the library is missing that a source reads by."""
    for kind, library in EXTRAS.items():
        if f"={kind}." in name and importlib.util.find_spec(library) is None:
            pytest.skip(f"{kind} is read by {library}")


def setting_of(name: str) -> Setting:
    """The setting of this label, with its companions."""
    needs(name)
    return beside(SETTINGS[name], said_of(TOGETHER, name))


@pytest.mark.parametrize("name", CHEAPLY)
def test_no_setting_is_ignored(name: str) -> None:
    """A field that is ignored here does nothing, or a run alone shows what: then BY_A_RUN says so."""
    assert verdict(setting_of(name), CHEAP) == (REFUSED if said_of(ONLY_REFUSED, name) else ACTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", IN_A_RUN)
def test_no_setting_is_ignored_by_a_run(name: str) -> None:
    assert verdict(setting_of(name), (RUN,)) == ACTS


@pytest.mark.parametrize("name", IN_A_RUN)
def test_a_run_is_needed(name: str) -> None:
    assert verdict(setting_of(name), CHEAP) != ACTS


@on_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in SETTINGS if said_of(WITHOUT_EFFECT, name)])
def test_what_may_be_ignored_has_no_effect(name: str) -> None:
    assert verdict(setting_of(name), (*CHEAP, RUN)) == IGNORED


@pytest.mark.parametrize("name", [name for name in WITH_COMPANIONS if name not in IN_A_RUN])
def test_companions_are_needed(name: str) -> None:
    needs(name)
    assert verdict(SETTINGS[name], CHEAP) != ACTS


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WITH_COMPANIONS if name in IN_A_RUN])
def test_companions_are_needed_in_a_run(name: str) -> None:
    assert verdict(SETTINGS[name], (RUN,)) != ACTS


@pytest.mark.parametrize("table", TABLES)
def test_tables_name_fields_that_exist(table: str) -> None:
    """The last part of a label is a field; what a table says of none is left over."""
    idle = [pattern for pattern in TABLES[table] if not any(fits(pattern, name) for name in SETTINGS)]
    assert not idle


def test_every_kind_is_varied() -> None:
    def choices(schema: type[Config]) -> Iterator[type[Choice]]:
        for kind in typing.get_type_hints(schema).values():
            for inner in configs_in(kind):
                if issubclass(inner, Choice):
                    yield inner
                elif inner is not schema:
                    yield from choices(inner)

    found = {choice.noun: choice for choice in choices(RunConfig) if choice is not ModelConfig}
    assert {"tokenizer", "source", "objective", "optimizer", "schedule", "recomputation"} <= found.keys()
    for choice in found.values():
        kinds = {kind for kind, config in choice.choices.items() if dataclasses.fields(config)}
        assert not {kind for kind in kinds if not any(f"={kind}." in name for name in SETTINGS)}


@pytest.mark.parametrize("kind", ObjectiveConfig.choices)
def test_the_same_run_looks_the_same(kind: str) -> None:
    config = build(RunConfig, base_run(ObjectiveConfig.choices[kind]))
    assert all(same(Observed(config).see(look), Observed(config).see(look)) for look in (*CHEAP, *CLOSER.values()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ObjectiveConfig.choices)
def test_the_same_run_ends_the_same(kind: str) -> None:
    plain = changed(base_run(ObjectiveConfig.choices[kind]), "trainer.ema", {})
    assert same(*(Observed(build(RunConfig, plain)).see(RUN) for _ in range(2)))


def test_a_setting_that_does_nothing_is_caught() -> None:
    """So is one that is registered tomorrow; what it has besides acts."""
    with forgotten():

        @dataclasses.dataclass(frozen=True, kw_only=True)
        class IdleConfig(LionConfig, kind="idle"):
            number: float = setting(0.5, "nothing", above=0)

        found = all_settings()
        assert verdict(found["optimizer=idle.number"], CHEAP) == IGNORED
        assert verdict(found["optimizer=idle.beta2"], CHEAP) == ACTS


@pytest.mark.slow
def test_a_setting_that_a_run_does_not_show_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Conductor, "_is_logged", lambda conductor, step: True)
    assert verdict(SETTINGS["trainer.log_every"], (RUN,)) == IGNORED


def test_a_refusal_must_name_the_setting() -> None:
    assert names(ConfigError("must be below 3", "trainer.keep"), "trainer.keep")
    assert names(ConfigError("there is none", "data.source.filter"), "data.source.filter.deduplicate")
    assert names(DataError("the file has no field 'x'"), "data.source.field")
    assert not names(DataError("the file is empty"), "data.source.field")
    assert not names(ConfigError("must be below 3", "trainer"), "name")
