"""Configs: later sources win, kinds drop what belonged to others, mistakes are named."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest

from zoo.config import (
    Config,
    Source,
    build,
    default_mapping,
    difference,
    flatten,
    load_config,
    setting,
    to_mapping,
)
from zoo.config_text import read_overrides
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.models.create import create_model
from zoo.registry import Choice


@dataclass(frozen=True, kw_only=True)
class Engine(Config, Choice, noun="engine"):
    """What drives a vehicle."""


@dataclass(frozen=True, kw_only=True)
class Steam(Engine, kind="steam"):
    """Burns coal."""

    pressure: float = setting(2.0, "bar", above=0, maximum=20)
    boilers: int = setting(1, "how many", minimum=1)


@dataclass(frozen=True, kw_only=True)
class Electric(Engine, kind="electric"):
    """Needs no coal."""

    pressure: float = setting(7.0, "of the tyres, bar", above=0)


@dataclass(frozen=True, kw_only=True)
class Paint(Config):
    """What a vehicle looks like."""

    colour: Literal["red", "green"] = setting("red", "colour")
    layers: int = setting(2, "layers of paint", minimum=1, below=10)


@dataclass(frozen=True, kw_only=True)
class Vehicle(Config):
    """A schema with every type that a field may have."""

    name: str = setting(doc="what it is called")
    engine: Engine = setting(Steam(pressure=5.0), "what drives it")
    spare: Engine | None = setting(None, "a second engine")
    paint: Paint = setting(Paint(layers=3), "looks")
    wheels: int = setting(4, "how many", minimum=1)
    speed: float = setting(1.5, "km/h", above=0)
    limit: float | None = setting(None, "km/h", minimum=0)
    open: bool = setting(False, "whether it has no roof")
    axles: tuple[float, ...] = setting((1.0, 2.0), "their places", minimum=0)
    ratio: tuple[float, float] | None = setting(None, "two numbers", minimum=0, below=1)
    wagons: dict[str, Engine] = setting({}, "wagons by name")
    tags: dict[str, str] = setting({}, "free words")

    def validate(self) -> None:
        if self.open and self.speed > 100:
            raise ConfigError(f"{self.speed} is too fast for open=True", "speed")


def load(*sources: dict[str, Any], named: bool = True) -> Any:
    first = [Source("first", {"name": "cart"})] if named else []
    return load_config(Vehicle, [*first, *(Source(f"source {i}", s) for i, s in enumerate(sources))])


@dataclass(frozen=True, kw_only=True)
class Crew(Config):
    """Who rides along."""

    names: int | tuple[str, ...] = setting(1, "by name, or how many", minimum=1)


def test_a_number_or_a_list() -> None:
    for given, expected in ((2, 2), (["Ann", "Bob"], ("Ann", "Bob")), (("Ann",), ("Ann",))):
        assert build(Crew, {"names": given}) == Crew(names=expected)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"names: .* is not a whole number or a list, each entry text"):
        build(Crew, {"names": [1, 2]})
    with pytest.raises(ConfigError, match="names: 0 must be at least 1"):
        build(Crew, {"names": 0})


# ---------------------------------------------------------------------------------------------------- sources in layers


def test_later_sources_win() -> None:
    resolved = load({"wheels": 6, "paint": {"colour": "green"}}, {"wheels": 8})
    assert resolved.config == Vehicle(name="cart", wheels=8, paint=Paint(colour="green", layers=3))
    assert resolved.origins["wheels"] == "source 1"
    assert resolved.origins["paint.colour"] == "source 0"
    assert resolved.origins["paint.layers"] == "default"
    assert resolved.origins["name"] == "first"
    assert set(resolved.origins) == set(flatten(to_mapping(resolved.config)))


def test_a_group_without_a_kind_changes_what_is_there() -> None:
    assert load({"engine": {"boilers": 2}}).config.engine == Steam(pressure=5.0, boilers=2)
    assert load({"engine": "electric"}, {"engine": {"pressure": 3.0}}).config.engine == Electric(pressure=3.0)


def test_another_kind_drops_what_older_sources_said() -> None:
    resolved = load({"engine": {"pressure": 9.0, "boilers": 3}}, {"engine": {"kind": "electric"}})
    assert resolved.config.engine == Electric()
    assert resolved.origins["engine.pressure"] == "default"
    assert resolved.origins["engine.kind"] == "source 1"


def test_the_same_kind_keeps_them() -> None:
    resolved = load({"engine": {"kind": "steam", "boilers": 3}}, {"engine": {"kind": "steam", "pressure": 1.0}})
    assert resolved.config.engine == Steam(pressure=1.0, boilers=3)


def test_back_and_forth_brings_nothing_back() -> None:
    resolved = load({"engine": {"boilers": 3}}, {"engine": "electric"}, {"engine": "steam"})
    assert resolved.config.engine == Steam(pressure=5.0)  # the field's own default
    assert resolved.origins["engine.boilers"] == "default"


def test_a_word_is_short_for_a_kind() -> None:
    assert load({"engine": "electric"}).config.engine == Electric()
    assert load({"spare": "electric"}).config.spare == Electric()
    assert load({"spare": "electric"}).origins["spare.kind"] == "source 0"
    resolved = load({"spare": "steam"}, {"spare": {"boilers": 2}})
    assert resolved.config.spare == Steam(boilers=2)
    assert resolved.origins["spare.kind"] == "source 0"
    assert resolved.origins["spare.boilers"] == "source 1"


def test_null_takes_out() -> None:
    assert load({"spare": "steam"}, {"spare": None}).config.spare is None
    wagons = {"coal": "steam", "mail": {"kind": "electric", "pressure": 3.0}}
    assert load({"wagons": wagons}).config.wagons == {"coal": Steam(), "mail": Electric(pressure=3.0)}
    assert load({"wagons": wagons}, {"wagons": {"coal": None}}).config.wagons == {"mail": Electric(pressure=3.0)}


def test_a_part_stands_on_the_default_of_its_field() -> None:
    """Also where no source names the group first: below a choice, whose fields are not known before its kind is."""
    built = build(Vehicle, {"name": "cart", "paint": {"colour": "green"}, "engine": {"boilers": 2}})
    assert built.paint == Paint(colour="green", layers=3)
    assert built.engine == Steam(pressure=5.0, boilers=2)


def test_defaults_are_not_shared() -> None:
    one, other = Vehicle(name="a"), Vehicle(name="b")
    assert one.wagons is not other.wagons
    assert default_mapping(Engine) == {}
    assert "name" not in default_mapping(Vehicle)
    assert default_mapping(Vehicle)["engine"] == {"kind": "steam", "pressure": 5.0, "boilers": 1}


def test_whole_numbers_become_numbers_where_numbers_are_meant() -> None:
    config = load({"speed": 3, "limit": 4, "axles": [1, 2], "ratio": [0, 0.5]}).config
    assert [type(value) for value in (config.speed, config.limit, *config.axles, *config.ratio)] == [float] * 6


def test_configs_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Vehicle(name="cart").wheels = 3  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------------------ presets


@dataclass(frozen=True, kw_only=True)
class Model(Config, Choice, noun="model"):
    """A choice with named rows."""

    presets: ClassVar[Any] = staticmethod(
        {"small": {"kind": "train", "cars": 3}, "large": {"kind": "train", "cars": 9}}.__getitem__
    )


@dataclass(frozen=True, kw_only=True)
class Train(Model, kind="train"):
    """Has cars."""

    cars: int = setting(1, "how many")
    seats: int = setting(40, "in each car")


@dataclass(frozen=True, kw_only=True)
class Bus(Model, kind="bus"):
    """Has none."""


@dataclass(frozen=True, kw_only=True)
class Fleet(Config):
    """Holds a choice with named rows."""

    model: Model = setting(doc="what to build")


def fleet(*sources: dict[str, Any]) -> Any:
    return load_config(Fleet, [Source(f"source {i}", {"model": s}) for i, s in enumerate(sources)])


def test_preset_goes_below_every_source() -> None:
    resolved = fleet({"seats": 10}, {"preset": "large"})
    assert resolved.config.model == Train(cars=9, seats=10)
    assert resolved.origins == {"model.kind": "preset large", "model.cars": "preset large", "model.seats": "source 0"}
    assert fleet({"preset": "small"}, {"preset": "large"}).config.model.cars == 9
    assert fleet({"preset": "small", "cars": 4}, {"preset": "large"}).config.model.cars == 4
    assert fleet({"preset": "small"}, {"preset": None, "kind": "bus"}).config.model == Bus()


def test_preset_and_another_kind_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"model\.kind: 'bus' does not go with preset small, whose kind is 'train'"):
        fleet({"preset": "small", "kind": "bus"})


def test_difference() -> None:
    one = Vehicle(name="a", spare=Steam())
    other = Vehicle(name="a", wheels=6)
    assert ("wheels", 4, 6) in difference(one, other)
    assert ("spare.kind", "steam", None) in difference(one, other)
    assert difference(one, one) == []
    assert flatten({"a": {"b": 1, "c": {}}, "d": 2}) == {"a.b": 1, "a.c": {}, "d": 2}


# ------------------------------------------------------------------------------------------------------------- mistakes

# what one writes (beside `name: cart`) -> what the message says: key, value, and what is legal or nearest
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"wheles": 4}, "wheles: unknown key 'wheles'; did you mean 'wheels'? (legal: axles, engine"),
    ({"Wheels": 4}, "Wheels: unknown key 'Wheels'; did you mean 'wheels'?"),
    ({"": 4}, "unknown key '' (legal: axles"),
    ({"paint": {"color": "red"}}, "paint.color: unknown key 'color'; did you mean 'colour'? (legal: colour, layers)"),
    ({"engine": {"pressur": 3}}, "engine.pressur: unknown steam engine key 'pressur'; did you mean 'pressure'?"),
    (
        {"engine": {"kind": "electric", "boilers": 2}},
        "engine.boilers: unknown electric engine key 'boilers'; it goes with kind steam "
        "(legal: kind, pressure); say engine.kind=steam too",
    ),
    (
        {"engine": {"kind": "stem"}},
        "engine.kind: unknown engine 'stem'; did you mean 'steam'? (legal: electric, steam)",
    ),
    ({"engine": "stem"}, "engine.kind: unknown engine 'stem'; did you mean 'steam'?"),
    ({"engine": {"kind": 3}}, "engine.kind: unknown engine 3 (legal: electric, steam)"),
    ({"engine": {"kind": None}}, "engine: needs a kind (legal: electric, steam)"),
    ({"engine": None}, "engine: must be a group of settings, not None"),
    ({"engine": 3}, "engine: must be a group of settings, not 3"),
    ({"engine": []}, "engine: must be a group of settings, not []"),
    ({"spare": {"pressure": 3}}, "spare: needs a kind (legal: electric, steam)"),
    ({"spare": {}}, "spare: needs a kind (legal: electric, steam)"),
    ({"spare": 3}, "spare: must be a group of settings, not 3"),
    ({"wagons": {"coal": {"kind": "stem"}}}, "wagons.coal.kind: unknown engine 'stem'; did you mean 'steam'?"),
    ({"wagons": {"coal": 3}}, "wagons.coal: must be a group of settings, not 3"),
    ({"wagons": ["steam"]}, "wagons: ['steam'] is not a group of named settings"),
    ({"wagons": "steam"}, "wagons: 'steam' is not a group of named settings, each an engine (legal kinds: electric, "),
    ({"wagons": {"kind": "steam"}}, "wagons.kind: 'steam' stands where names are; write name: {kind: …}"),
    ({"just text": None}, "just text: unknown key 'just text' (legal: axles"),
    ({"tags": {"a": 3}}, "tags: {'a': 3} is not a group of named settings, each text"),
    ({"tags": {3: "a"}}, "tags: key 3 must be a word; quote it: {'3': …}"),
    ({"paint": "red"}, "paint: must be a group of settings, not 'red' (legal keys: colour, layers)"),
    ({"paint": {"colour": "blue"}}, "paint.colour: 'blue' is not one of red, green"),
    ({"paint": {"colour": None}}, "paint.colour: None is not one of red, green"),
    ({"paint": {"colour": ["red"]}}, "paint.colour: ['red'] is not one of red, green"),
    ({"paint": {"layers": 0}}, "paint.layers: 0 must be at least 1"),
    ({"paint": {"layers": 10}}, "paint.layers: 10 must be below 10"),
    ({"wheels": 0}, "wheels: 0 must be at least 1"),
    ({"wheels": -4}, "wheels: -4 must be at least 1"),
    ({"wheels": 4.0}, "wheels: 4.0 is not a whole number"),
    ({"wheels": 4.5}, "wheels: 4.5 is not a whole number"),
    ({"wheels": "4"}, "wheels: '4' is not a whole number"),
    ({"wheels": "four"}, "wheels: 'four' is not a whole number"),
    ({"wheels": True}, "wheels: True is not a whole number"),
    ({"wheels": None}, "wheels: None is not a whole number"),
    ({"wheels": [4]}, "wheels: [4] is not a whole number"),
    ({"wheels": {"front": 2}}, "wheels: {'front': 2} is not a whole number"),
    ({"wheels": math.nan}, "wheels: nan is not a whole number"),
    ({"speed": 0}, "speed: 0.0 must be above 0"),
    ({"speed": -1.5}, "speed: -1.5 must be above 0"),
    ({"speed": math.nan}, "speed: nan is not a finite number"),
    ({"speed": math.inf}, "speed: inf is not a finite number"),
    ({"speed": -math.inf}, "speed: -inf is not a finite number"),
    ({"speed": 10**400}, "0 is not a number"),
    ({"speed": "fast"}, "speed: 'fast' is not a number"),
    ({"speed": "1.5"}, "speed: '1.5' is not a number"),
    ({"speed": True}, "speed: True is not a number"),
    ({"speed": None}, "speed: None is not a number"),
    ({"limit": -1}, "limit: -1.0 must be at least 0"),
    ({"limit": math.inf}, "limit: inf is not a finite number"),
    ({"limit": "none"}, "limit: 'none' is not a number or null"),
    ({"limit": False}, "limit: False is not a number or null"),
    ({"open": 1}, "open: 1 is not true or false"),
    ({"open": "yes"}, "open: 'yes' is not true or false"),
    ({"open": None}, "open: None is not true or false"),
    ({"open": True, "speed": 200}, "speed: 200.0 is too fast for open=True"),
    ({"axles": 1.0}, "axles: 1.0 is not a list, each entry a number"),
    ({"axles": ["front"]}, "axles: ('front',) is not a list, each entry a number"),
    ({"axles": [1.0, -2.0]}, "axles.1: -2.0 must be at least 0"),
    ({"axles": [math.nan]}, "axles.0: nan is not a finite number"),
    ({"axles": {"front": 1.0}}, "axles: {'front': 1.0} is not a list, each entry a number"),
    ({"ratio": [0.5]}, "ratio: (0.5,) is not a list of 2, each entry a number or null"),
    ({"ratio": [0.1, 0.2, 0.3]}, "is not a list of 2, each entry a number or null"),
    ({"ratio": [0.5, 1.0]}, "ratio.1: 1.0 must be below 1"),
    ({"ratio": 0.5}, "ratio: 0.5 is not a list of 2, each entry a number or null"),
    ({"name": 3}, "name: 3 is not text"),
    ({"name": None}, "name: None is not text"),
    ({"name": ["cart"]}, "name: ['cart'] is not text"),
    ({"name": "${open}"}, "name: '${open}': interpolation is switched off; write the value itself"),
    ({"kind": "vehicle"}, "kind: unknown key 'kind'"),
]


@pytest.mark.parametrize("settings, message", MISTAKES, ids=[str(settings)[:60] for settings, _ in MISTAKES])
def test_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(settings)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_mistakes_of_a_config_are_told_at_once() -> None:
    """Unknown keys, what is missing, what stands in groups, and values; then what does not go together."""
    with pytest.raises(ConfigError) as caught:
        load({"wheel": 3, "spare": {"kind": "steam", "presure": 1}, "colour": 2, "wheels": 0}, named=False)
    keys = [error.key for error in (caught.value, *caught.value.others)]
    assert keys == ["wheel", "colour", "name", "spare.presure", "wheels"]
    with pytest.raises(ConfigError, match=r"^3 settings are wrong:\n  wheels: 0 .*;\n  speed: .*;\n  open: "):
        load({"wheels": 0, "speed": "fast", "open": 1})


def test_all_entries_of_groups_are_told_at_once() -> None:
    wrong = {
        "attention": {"window": -1, "foo": 3},
        "heads": {"a": {"kind": "b"}, "language_model": {"kind": "language_model", "tied": 1, "x": 2}},
    }
    with pytest.raises(ConfigError) as caught:
        create_model({"kind": "decoder", "vocab_size": 9, "dim": -3, **wrong})
    keys = {error.key for error in (caught.value, *caught.value.others)}
    assert keys >= {"dim", "attention.window", "attention.foo", "heads.a.kind", "heads.language_model.tied"}
    assert "heads.language_model.x" in keys


def test_there_are_enough_mistakes() -> None:
    assert len(MISTAKES) >= 60


def test_what_is_required() -> None:
    with pytest.raises(ConfigError, match="name: is required: what it is called"):
        load(named=False)


def test_constructors_check_too() -> None:
    with pytest.raises(ConfigError, match="wheels: 0 must be at least 1"):
        Vehicle(name="cart", wheels=0)
    with pytest.raises(ConfigError, match=r"engine: 'steam' is not an? engine \(legal kinds: electric, steam\)"):
        Vehicle(name="cart", engine="steam")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="speed: 200"):
        Vehicle(name="cart", open=True, speed=200.0)


# ------------------------------------------------------------------------------------------------------- of real models

MODEL_MISTAKES: list[tuple[str, str]] = [
    ("model.dim=0", "model.dim: 0 must be at least 1"),
    ("model.num_heads=5", "model.num_heads: 5 heads do not divide dim=128"),
    ("model.num_kv_heads=3", "model.num_kv_heads: 3 does not divide num_heads=4 (legal: 1, 2, 4)"),
    ("model.placement=prenorm", "model.placement: unknown norm placement 'prenorm'; did you mean"),
    (
        "model.positions=rope",
        "model.positions.kind: unknown positions 'rope'; did you mean 'rotary'? (legal: alibi, learned, none, rel",
    ),
    ("model.positions=[rotary]", "model.positions: must be a group of settings, not ['rotary']"),
    ("model.positions.theta=3", "model.positions.theta: unknown learned positions key 'theta'"),
    ("model.feed_forward.activation=geglu", "model.feed_forward.activation: unknown activation 'geglu'; did you mean"),
    ("model.attention.kernel=flash", "model.attention.kernel: unknown kernel 'flash' (legal: auto, flex, reference, "),
    ("model.attention={cap: 50, kernel: sdpa}", "model.attention.kernel: kernel 'sdpa' cannot do cap=50.0; use one of"),
    ("model.attention.cap=0", "model.attention.cap: 0.0 must be above 0"),
    (
        "model.attention.scale=1",
        "model.attention.scale: must be a group of settings, not 1; did you mean {kind: constant, value: 1}?",
    ),
    ("model.dropout.attention=1", "model.dropout.attention: 1.0 must be below 1"),
    ("model.dropout=0.1", "model.dropout: must be a group of settings, not 0.1 (legal keys: embedding, attention"),
    ("model.norm.epsilon=1", "model.norm.epsilon: unknown layer_norm norm key 'epsilon'; did you mean 'eps'?"),
    ("model.norm.eps=.nan", "model.norm.eps: nan is not a finite number"),
    ("model.heads.main=next_sentence", "model.heads.main: head 'next_sentence' does not fit model 'decoder'"),
    ("model.embedding.padding_token=4096", "model.embedding.padding_token: 4096 is not below vocab_size=4096"),
    ("model.preset=gpt3", "model.preset: unknown preset 'gpt3'; did you mean 'gpt2'?"),
    ("model.preset=[gpt2]", "model.preset: ['gpt2'] is not text"),
    ("model.kind=encoder", "model.kind: 'encoder' does not go with preset gpt-nano, whose kind is 'decoder'"),
]


@dataclass(frozen=True, kw_only=True)
class Run(Config):
    """What a run holds, as far as models go."""

    model: ModelConfig = setting(doc="the model")


@pytest.mark.parametrize("override, message", MODEL_MISTAKES)
def test_mistakes_in_models(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(Run, [Source("file", {"model": {"preset": "gpt-nano"}}), read_overrides([override])])
    assert message in str(caught.value)


def test_every_field_of_a_model_is_documented() -> None:
    def walk(schema: type[Config]) -> None:
        for field in dataclasses.fields(schema):
            assert field.metadata["doc"], f"{schema.__name__}.{field.name} does not say what it means"

    for family in ModelConfig.choices.values():
        walk(family)
