"""Our config as a foreign one: what is written, what is put otherwise for it, and what stands in the way.

Two configs compute the same where one has a bias of zeros that the other lacks, or rows of a table that nothing reads,
and they compute the same outside of training where only dropout differs. Such settings are changed to what the
architecture has, and named. Everything else that it has no place for stands in the way. All of that is found at once:
a setting that stands in the way is noted, looked upon as if it were what the architecture has, and the rest compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from typing import Any, NamedTuple

from zoo.config import difference, flatten, marks_of, merged, to_mapping
from zoo.errors import ConfigError, cut
from zoo.heads.classifier import LabelledConfig
from zoo.interop.base import ARCHITECTURES, POOLER, Architecture, Field, Mapped, is_base_model, tied
from zoo.interop.configs import present, put, read_config
from zoo.interop.labels import write_labels
from zoo.models import ModelConfig
from zoo.models.create import model_config
from zoo.models.encoder_decoder import EncoderDecoderConfig
from zoo.nn.layer import LayerConfig
from zoo.nn.stack import StackConfig

ABSENT = object()
"""What stands for a setting that a config does not have, where null is a value."""
ROUNDS = 4
"""How often settings are changed and the rest compared: kinds first, then what they hold, the decoder's own last."""
MOST_TOLD = 10
"""Of what stands in the way of an architecture, how much is told with both values; of the rest the names."""

Changes = dict[str, tuple[Any, Any]]
"""Dotted setting → its value here and there."""


class Attempt(NamedTuple):
    """What an architecture makes of a model of ours.

    Attributes:
        architecture: its name.
        fields: its config, as plain data.
        config: our model as the architecture has it, which is what is read back from `fields`.
        changes: the settings in which that differs from what was given, none of which changes an output.
        obstacles: what it has no place for; where there is any, `fields` and `config` mean nothing.
    """

    architecture: str
    fields: Mapped
    config: ModelConfig
    changes: Changes
    obstacles: list[ConfigError]

    @property
    def opened(self) -> str:
        """The class of transformers that opens it."""
        return str(self.fields["architectures"][0])

    def refusal(self) -> ConfigError:
        """Everything that stands in the way as one error."""
        return refusal(self.architecture, self.obstacles)

    def differences(self) -> list[str]:
        """What is put otherwise than in the model that was given, in words: a sentence each."""
        found = []
        if "vocab_multiple" in self.changes and (
            spare := -(self.config.vocab_size or 0) % self.changes["vocab_multiple"][0]
        ):
            found.append(f"the {spare} spare rows of the token table (vocab_multiple) are left out; nothing reads them")
        if biases := [path for path, values in self.changes.items() if is_new_bias(self.config, path, *values)]:
            found.append(
                f"{', '.join(biases)}: {self.architecture} always has them; zeros are written, which add nothing"
            )
        if dropouts := [
            f"{path} {mine} ({other} there)"
            for path, (mine, other) in self.changes.items()
            if is_dropout(self.config, path)
        ]:
            found.append(
                f"{', '.join(dropouts)}: {self.architecture} has no setting for that; it acts in training only"
            )
        return found


def attempt(architecture: str, config: ModelConfig) -> Attempt:
    """Our model as one of a foreign architecture, as far as that goes.

    Args:
        architecture: a name of ARCHITECTURES.
        config: our model.
    """
    table, changes = ARCHITECTURES[architecture], Changes()
    if config.kind != table.constant["kind"]:
        told = _no_place(table, "kind", config.kind, table.constant["kind"])
        return Attempt(architecture, {}, config, changes, [told])
    obstacles: dict[str, ConfigError] = {}
    fields: Mapped = {}
    try:
        config = _with_known_heads(table, config, obstacles)
        for _ in range(ROUNDS):
            differing = _unlike_all(table, config, obstacles)
            if not differing:
                fields = _written(table, config, obstacles)
                again = _read_again(table, config, fields)
                by_layer = bool(config.layers or again.layers)
                ours, theirs = (flatten(_what_is_computed(model, by_layer)) for model in (config, again))
                differing = [found for found in difference(ours, theirs) if found[0] not in obstacles]
            if not differing:
                break
            for path, mine, other in _without_consequences(differing):
                if no_output_depends_on(config, path, mine, other):
                    changes.setdefault(path, (mine, other))
                else:
                    obstacles[path] = _no_place(table, path, mine, other)
            config = _changed(config, differing)
        else:
            raise _no_place(table, *differing[0])
    except ConfigError as error:  # of what was looked upon as mended, unless nothing was
        if error.key in obstacles or not obstacles:
            obstacles[error.key] = error
    return Attempt(architecture, fields, config, changes, [*dict.fromkeys(obstacles.values())])


def write_config(architecture: str, config: ModelConfig) -> Mapped:
    """The foreign config of our model, as plain data for a config.json.

    Args:
        architecture: a name of ARCHITECTURES.
        config: our model.

    Raises:
        ConfigError: settings of ours that the architecture has no place for, by their names, those included that no
            output depends on (`attempt` changes them, and says so).
    """
    found, table = attempt(architecture, config), ARCHITECTURES[architecture]
    errors = found.obstacles + [_no_place(table, path, *values) for path, values in found.changes.items()]
    if errors:
        raise refusal(architecture, errors)
    return found.fields


def refusal(architecture: str, errors: list[ConfigError]) -> ConfigError:
    """Everything that an architecture has no place for as one error: the only one by itself, several in lines."""
    if len(errors) == 1:
        return errors[0]
    return ConfigError(f"{architecture} has no place for {len(errors)} settings of this model:{lines(errors, 2)}")


def lines(errors: list[ConfigError], indent: int) -> str:
    """A line for each of the first errors, and one with the names of the others."""
    told = [str(error) for error in errors[:MOST_TOLD]]
    if others := [cut(error.key) for error in errors[MOST_TOLD:]]:
        told.append(f"and {len(others)} more: {cut(', '.join(others))}")
    return "".join(f"\n{' ' * indent}{line}" for line in told)


# -------------------------------------------------------------------------------------------------------------- changes


def no_output_depends_on(config: ModelConfig, path: str, mine: Any, other: Any) -> bool:
    """Whether a setting of a model can become another one, and its outputs stay what they are."""
    if is_dropout(config, path):
        return isinstance(mine, float | int) and isinstance(other, float | int)
    return path == "vocab_multiple" or is_new_bias(config, path, mine, other)


def is_dropout(config: ModelConfig, path: str) -> bool:
    """Whether a setting acts in training alone."""
    return any(mark.get("training_only") for mark in _marks(config, path))


def is_new_bias(config: ModelConfig, path: str, mine: Any, other: Any) -> bool:
    """Whether a bias is added, which can be zeros."""
    return mine is False and other is True and any(mark.get("zero_adds_nothing") for mark in _marks(config, path)[-1:])


def _marks(config: ModelConfig, path: str) -> list[Mapping[str, Any]]:
    """What a setting is marked with where it stands: in the model, in its decoder, or in one of the layers."""
    stack: StackConfig = config
    for side in config.sides():
        if side.key and path.startswith(f"{side.key}."):
            stack, path = side.stack, path.removeprefix(f"{side.key}.")
    group, number, name = (*path.split(".", 2), "", "")[:3]
    if group == "layers" and number.isdecimal():
        return marks_of(stack.layer_configs()[int(number)], name)
    return marks_of(stack, path)


def _changed(config: ModelConfig, differing: Iterable[tuple[str, Any, Any]]) -> ModelConfig:
    """The config with settings as they are there; a decoder keeps of its own only what differs from its encoder."""
    changes: Mapped = {}
    for path, _, other in differing:
        put(changes, path, other)
    settings = merged(to_mapping(config), changes)
    if settings.get("decoder"):
        encoder, own = flatten(settings), flatten(settings["decoder"])
        settings["decoder"] = {}
        for path, value in own.items():
            if encoder.get(path, ABSENT) != value:
                put(settings["decoder"], path, value)
    return model_config(settings)


def _without_consequences(differing: list[tuple[str, Any, Any]]) -> Iterable[tuple[str, Any, Any]]:
    """What differs, but for settings that are there, or not, because the kind of a group around them differs."""
    others = {path.removesuffix("kind") for path, _, _ in differing if path.endswith(".kind")}
    for path, mine, other in differing:
        if path.removesuffix("kind") in others or not any(path.startswith(group) for group in others):
            yield path, mine, other


def _no_place(table: Architecture, path: str, mine: Any, other: Any) -> ConfigError:
    return ConfigError(f"{table.name} has no place for {mine!r}; there it is {other!r}", path)


# -------------------------------------------------------------------------------------------------------------- writing


def _missing_pooler(table: Architecture, config: ModelConfig) -> set[str]:
    """The pooler that the base model of an architecture has by its class and ours lacks."""
    return {POOLER} - {*config.heads} if is_base_model(config) and table.pooler else set()


def _classes(table: Architecture, config: ModelConfig) -> list[str]:
    """The foreign classes with exactly our heads."""
    wanted = {*config.heads} | _missing_pooler(table, config)
    return [name for name, heads in table.classes.items() if {*heads} == wanted]


def _with_known_heads(table: Architecture, config: ModelConfig, obstacles: dict[str, ConfigError]) -> ModelConfig:
    """The config itself where a foreign class has its heads, else one with the most of them that any has."""
    if _classes(table, config):
        return config
    able = "; ".join(f"{name}: {', '.join(heads)}" for name, heads in table.classes.items())
    told = f"{table.name} has no model with exactly {sorted(config.heads)} ({able})"
    obstacles["heads"] = ConfigError(told, "heads")
    known = max(({*heads} & {*config.heads} for heads in table.classes.values()), key=len)
    return model_config(config, heads=dict.fromkeys({*config.heads} - known))


def _unlike_all(
    table: Architecture, config: ModelConfig, obstacles: Mapping[str, ConfigError]
) -> list[tuple[str, Any, Any]]:
    """The settings that are others than in every model of the architecture, with the values here and there."""
    ours, theirs = flatten(_spelled_out(config)), flatten(table.constant)
    differing: dict[str, tuple[str, Any, Any]] = {}
    for path, value in theirs.items():
        group = path.split(".")
        if group[0] == "initialization" or (group[0] == "heads" and group[1] not in config.heads):
            continue
        if path not in obstacles and ours.get(path, ABSENT) != value:
            around = next((name for name in _groups(path) if name in ours), path)  # null with us
            differing[around] = (around, ours.get(around), _get(theirs, around))
    return [*differing.values()]


def _groups(path: str) -> Iterable[str]:
    """The groups around a dotted setting, the outermost first."""
    parts = path.split(".")
    return (".".join(parts[:depth]) for depth in range(1, len(parts)))


def _written(table: Architecture, config: ModelConfig, obstacles: dict[str, ConfigError]) -> Mapped:
    """The foreign config; where it has no place for what we have, that is told and a default stands in the field.

    Raises:
        ConfigError: fields that mean something only together have no place for it.
    """
    ours, heads = flatten(_spelled_out(config)), (*config.heads,)
    fields: Mapped = {"model_type": table.name, "architectures": _classes(table, config)[:1]}
    for field in table.fields:
        found = {path: value for path in present(field.ours, heads) if (value := _get(ours, path)) is not ABSENT}
        if found and not {*found} & {*obstacles}:
            path = next((path for path, value in found.items() if value is True), next(iter(found)))  # one bias: all
            try:
                put(fields, field.name, _to_theirs(field, path, found[path]))
            except ConfigError as error:
                obstacles.update(dict.fromkeys(found, error))
    failed = None
    for group in table.together:
        try:
            for name, value in group.write(config).items():
                put(fields, name, value)
        except ConfigError as error:
            obstacles[error.key] = failed = error
    if failed is not None:  # what these fields stand for cannot be read back
        raise failed
    return fields | write_labels(config)


def _read_again(table: Architecture, config: ModelConfig, fields: Mapped) -> ModelConfig:
    """What is read back from the fields that were written of our model."""
    lacks_weights = bool(_missing_pooler(table, config)) or (bool(table.output) and tied(config))
    return read_config(table.name, fields, () if lacks_weights else None)


def _to_theirs(field: Field, path: str, value: Any) -> Any:
    if field.values is None:
        return value
    for theirs, ours in field.values.items():
        if {**value, **ours} == value if isinstance(ours, dict) else ours == value:
            return theirs
    legal = dict.fromkeys(map(repr, field.values.values()))
    raise ConfigError(f"{value!r} has no foreign {field.name}; it must be one of {', '.join(legal)}", path)


def _get(flat: Mapped, path: str) -> Any:
    """What a flattened config has at a dotted path: a value, a group, or ABSENT."""
    if path in flat:
        return flat[path]
    group = {name.removeprefix(f"{path}."): value for name, value in flat.items() if name.startswith(f"{path}.")}
    return group or ABSENT


# ------------------------------------------------------------------------------------------------------------ comparing


def _spelled_out(config: ModelConfig) -> Mapped:
    """Our config as plain data, with the numbers that null stands for and all settings of a decoder."""
    settings = _with_numbers(config)
    if isinstance(config, EncoderDecoderConfig):
        settings["decoder"] = _with_numbers(config.decoder_config())
    return settings


def _with_numbers(config: LayerConfig) -> Mapped:
    settings: Mapped = to_mapping(config)
    heads = config.attention_heads
    settings["num_kv_heads"], settings["head_dim"] = heads.num_kv_heads, heads.head_dim
    settings["feed_forward_dim"] = config.inner_dim
    return settings


OF_LAYERS = ("attention", "attention_placement", "block", "feed_forward", "feed_forward_dim", "residual")
"""What only layers read: a stack that changes it for some of them means nothing else by it."""


NO_MATTER = ("initialization.*", "*attention.kernel", "*balancing.rate")
"""What decides neither outputs nor gradients: how weights were drawn, which kernel computes, how a bias moves."""


def _what_is_computed(config: ModelConfig, by_layer: bool) -> Mapped:
    """What of our config decides outputs and gradients, flattened.

    Args:
        config: ours.
        by_layer: whether each layer is listed by itself, as where `layers` changes some: it may do so in many ways.
    """
    settings = _spelled_out(config)
    for name, head in config.heads.items():
        if isinstance(head, LabelledConfig):
            settings["heads"][name]["labels"] = [*head.label_names]
    for side in config.sides() if by_layer else ():
        stack = settings[side.key] if side.key else settings
        for name in (*OF_LAYERS, *(("positions",) if side.stack.positions.by_layer else ())):
            del stack[name]
        layers = enumerate(side.stack.layer_configs())
        stack["layers"] = {str(number): _with_numbers(layer) for number, layer in layers}
    return {
        path: value
        for path, value in flatten(settings).items()
        if not any(fnmatch(path, pattern) for pattern in NO_MATTER)
    }
