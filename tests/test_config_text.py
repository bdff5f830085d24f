"""Settings as text: what is written reads back, what is no setting or damaged is refused, nothing in it is executed."""

import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.test_config import Electric, Paint, Steam, Vehicle, load
from zoo.config import Source, build, difference, load_config, to_mapping
from zoo.config_text import read_overrides, read_yaml, to_yaml
from zoo.errors import ConfigError

# ------------------------------------------------------------------------------------------------------------ overrides


@pytest.mark.parametrize(
    "override, value",
    [
        ("1", 1),
        ("3e-4", 3e-4),
        ("1e5", 1e5),
        ("true", True),
        ("null", None),
        ("", None),
        ("text", "text"),
        ("[1, 2]", [1, 2]),
        ("{a: 1}", {"a": 1}),
        ("'1'", "1"),
        ("a=b", "a=b"),
        ("/data/*.txt", "/data/*.txt"),
    ],
)
def test_override_values(override: str, value: Any) -> None:
    found = read_overrides([f"a.b={override}"]).settings["a"]["b"]
    assert found == value
    assert type(found) is type(value)


def test_overrides_of_one_line_belong_together() -> None:
    """A kind and what stands beside it, in either order; the last of two that contradict each other wins."""
    for overrides in (["engine=electric", "engine.pressure=3"], ["engine.pressure=3", "engine=electric"]):
        assert load(read_overrides(overrides).settings).config.engine == Electric(pressure=3.0)
    assert read_overrides(["a=1", "a=2"]).settings == {"a": 2}
    assert read_overrides(["a.b=1", "a.c=2"]).settings == {"a": {"b": 1, "c": 2}}
    assert read_overrides([]).settings == {}


@pytest.mark.parametrize("override", ["wheels", "=3", ".a=1", "a.=1", "a..b=1", "--wheels 3", " =1"])
def test_what_is_no_override(override: str) -> None:
    with pytest.raises(ConfigError, match="is no setting; write key=value"):
        read_overrides([override])


@pytest.mark.parametrize("override", ["a=[1,", "a={b", "a='open", "a=!!python/object:os.system x"])
def test_overrides_that_are_no_yaml(override: str) -> None:
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_overrides([override])


# ---------------------------------------------------------------------------------------------------------- YAML files


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "file.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_read_yaml(tmp_path: Path) -> None:
    source = read_yaml(written(tmp_path, "name: cart\nspeed: 1e2\npaint: {colour: green}\n"))
    assert source == Source("file.yaml", {"name": "cart", "speed": 100.0, "paint": {"colour": "green"}})
    assert read_yaml(written(tmp_path, "")).settings == {}


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text, message",
    [
        (BOMB, "not valid YAML"),
        ("a: 1\na: 2\n", "duplicate key"),
        ("a: {b: 1, b: 2}\n", "duplicate key"),
        ("- a\n- b\n", "must hold"),
        ("a: [*norm]\n", "text that begins with \\* needs quotes"),
        ("a: [1\n", "not valid YAML"),
        ("a: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
        ("a: !unknown 1\n", "not valid YAML"),
        ("a:\n\tb: 1\n", "not valid YAML"),
        ("8: true\n", "key 8 in .* must be a word; quote it: {'8': …}"),
        ("a: {true: 1}\n", "a: key True in .* must be a word"),
        ("a: \x00\n", "not valid YAML"),
        (b"a: \xff\n", "not UTF-8"),
        ("[" * 5000, "not nested that deeply"),
        ("a: " + "9" * 5000, "not valid YAML"),
    ],
)
def test_damaged_files_are_refused_quickly(tmp_path: Path, text: str | bytes, message: str) -> None:
    path, start = written(tmp_path, text), time.process_time()
    with pytest.raises(ConfigError, match=message):
        read_yaml(path)
    assert time.process_time() - start < 30  # in full, the first has 400 million words


def test_missing_files(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(ConfigError, match="no config file at"):
            read_yaml(path)


@pytest.mark.parametrize("text", ["${name}", "${oc.env:HOME}", "a${b}", "???", "${eval:1}"])
def test_interpolation_is_switched_off(tmp_path: Path, text: str) -> None:
    for source in (read_yaml(written(tmp_path, f"name: '{text}'\n")), read_overrides([f"name={text}"])):
        with pytest.raises(ConfigError, match=r"name: .*interpolation is switched off"):
            load_config(Vehicle, [source])
    with pytest.raises(ConfigError, match="interpolation"):
        Vehicle(name=text)


# ---------------------------------------------------------------------------------------------------------- round trips

texts = st.text().filter(lambda text: "${" not in text and text != "???")
engines = st.one_of(
    st.builds(Steam, pressure=st.floats(0.1, 20), boilers=st.integers(1, 5)), st.builds(Electric, pressure=st.just(3.0))
)
vehicles = st.builds(
    Vehicle,
    name=texts,
    engine=engines,
    spare=st.none() | engines,
    paint=st.builds(Paint, colour=st.sampled_from(["red", "green"]), layers=st.integers(1, 9)),
    wheels=st.integers(1, 10**12),
    speed=st.floats(min_value=0, exclude_min=True, max_value=100),
    limit=st.none() | st.floats(min_value=0, allow_infinity=False),
    open=st.booleans(),
    axles=st.lists(st.floats(min_value=0, allow_infinity=False), max_size=3).map(tuple),
    ratio=st.none() | st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    wagons=st.dictionaries(st.text("abc", min_size=1), engines, max_size=2),
    tags=st.dictionaries(st.text("abc", min_size=1), texts, max_size=3),
)


@given(vehicles)
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, vehicle: Vehicle) -> None:
    path = written(tmp_path_factory.getbasetemp(), to_yaml(vehicle))
    again = load_config(Vehicle, [read_yaml(path)]).config
    assert again == vehicle
    assert to_yaml(again) == to_yaml(vehicle)
    assert difference(again, vehicle) == []
    assert build(Vehicle, to_mapping(vehicle)) == vehicle


@pytest.mark.parametrize(
    "word", ["1", "1e3", "1_0", "true", "null", "~", "on", "1:30", "2020-01-01", " a ", "a: b", "#"]
)
def test_words_that_yaml_would_take_for_something_else(tmp_path: Path, word: str) -> None:
    vehicle = Vehicle(name=word, tags={"a": word})
    assert load_config(Vehicle, [read_yaml(written(tmp_path, to_yaml(vehicle)))]).config == vehicle
