"""Our models as folders that transformers opens: config.json, safetensors (in shards where large),
generation_config.json.

The architecture is found by trying the tables: the one whose config takes ours, every setting of it, or all but those
that no output depends on (`attempt.py`). Several can take it (what Llama computes, Mistral without a window computes
too); then the one that is preferred is written, or the one that was described first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo.checkpoint.disk import ensure_space
from zoo.checkpoint.tensors import save_tensors
from zoo.errors import ConfigError
from zoo.interop.attempt import Attempt, attempt, lines
from zoo.interop.base import ARCHITECTURES, LABELS, Mapped, fields_of_heads
from zoo.interop.folder import CONFIG_NAME, GENERATION_NAME, INDEX_NAME, WEIGHTS_NAME
from zoo.interop.suggestions import SUGGESTIONS
from zoo.interop.weights import Plan, Weights, changed_weights, checked_ours, plan_of, to_foreign
from zoo.models import Model, ModelConfig
from zoo.registry import unknown_name

SHARD_BYTES = 5 << 30
"""The most that one file of weights holds, as transformers has it."""
MAX_NAMED = 3
"""Of architectures that do not take a model, how many an error names with all that stands in the way."""


def find_architecture(config: ModelConfig, asked: str | None = None, preferred: str | None = None) -> Attempt:
    """Our model as one of a foreign architecture.

    Args:
        config: ours.
        asked: the architecture that it must be; None: any that takes it.
        preferred: of several that take it as it is; None: the one that was described first. What takes it with changes
            comes later.

    Raises:
        ConfigError: none takes it (with all that stands in the way of the nearest), or the one that is asked for does
            not.
    """
    if asked is not None:
        if asked not in ARCHITECTURES:
            raise ConfigError(unknown_name("architecture", asked, ARCHITECTURES), "architecture")
        found = attempt(asked, config)
        if found.obstacles:
            raise found.refusal()
        return found
    # T5 comes before mT5, Llama before what repeats it.
    names = sorted(ARCHITECTURES, key=lambda name: (name != preferred, ARCHITECTURES[name].described))
    tried = sorted(
        (attempt(name, config) for name in names),
        key=lambda one: (any(error.key == "kind" for error in one.obstacles), len(one.obstacles), len(one.changes)),
    )
    if not tried[0].obstacles:
        return tried[0]
    told = "".join(f"\n  {one.architecture}:{lines(one.obstacles, 4)}" for one in tried[:MAX_NAMED])
    raise ConfigError(
        f"no architecture of transformers computes what this {config.kind} computes; the nearest, and what stands in "
        f"the way of each:{told}\nzoo.save keeps it as ours"
    )


def write_transformers(
    model: Model,
    ids: Mapping[str, Any],
    folder: Path,
    written: Attempt,
    *,
    shard_bytes: int = SHARD_BYTES,
    carried: Mapping[str, Any] | None = None,
    told: Callable[[int, int], None] | None = None,
) -> Mapped:
    """Fills a folder with the config and the weights of a model, and the ids that generation asks for.

    Args:
        model: ours.
        ids: what generation asks for (bos_token_id, eos_token_id, …).
        folder: exists, and is empty.
        written: the model as `find_architecture` has it.
        shard_bytes: the most that a file of weights holds.
        carried: fields of the config.json that the model came from, for those that its architecture does not say
            itself; None: it came from none, and `ids` fill config.json, too.
        told: hears how many bytes of how many are written.

    Returns:
        The content of config.json.

    Raises:
        CheckpointError: the weights are not those of the model's config, or they cannot be written.
    """
    table = ARCHITECTURES[written.architecture]
    types = {str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()}
    fields = dict(written.fields)
    if carried is not None:
        fields.pop("problem_type", None)  # a classifier is for what the folder says, or leaves open
    taken = {*fields, *SUGGESTIONS}  # what is only suggested stands in generation_config.json alone
    legal = table.harmless | LABELS | fields_of_heads(table)
    source = ids if carried is None else carried
    said = {name: value for name, value in source.items() if name in legal and name not in taken}
    config = {**fields, **said, **({"dtype": types.pop()} if len(types) == 1 else {})}
    _write_json(folder / CONFIG_NAME, config)
    if model.config.kind != "encoder" and "language_model" in model.config.heads:
        _write_json(folder / GENERATION_NAME, ids)
    weights = changed_weights(model.state_dict(), model.config, written.config)
    _write_weights(weights, plan_of(table, written.config), folder, shard_bytes, told)
    return config


def _write_weights(
    weights: Weights, plan: Plan, folder: Path, shard_bytes: int, told: Callable[[int, int], None] | None
) -> None:
    """Writes the weights, one file after the other: no more of them than one file holds is copied at a time."""
    given = checked_ours(plan, weights)
    sizes = {link.foreign: sum(given[name].nbytes for name in link.ours) for link in plan.links}
    total, done = sum(sizes.values()), 0
    ensure_space(folder, total)
    shards = list(_shards(sizes, shard_bytes))
    names = [WEIGHTS_NAME] if len(shards) == 1 else [_shard_name(number, len(shards)) for number in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        tensors = dict(to_foreign(plan, lambda ours: given[ours].detach(), {*shard}))
        save_tensors(tensors, folder / name)
        done += sum(sizes[foreign] for foreign in shard)
        if told is not None:
            told(done, total)
    if len(shards) > 1:
        files = {foreign: name for name, shard in zip(names, shards, strict=True) for foreign in shard}
        _write_json(folder / INDEX_NAME, {"metadata": {"total_size": total}, "weight_map": files})


def _shards(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """The names in files of at most so many bytes; a tensor that is larger has one of its own."""
    shard: list[str] = []
    filled = 0
    for name, size in sizes.items():
        if shard and filled + size > most:
            yield shard
            shard, filled = [], 0
        shard.append(name)
        filled += size
    yield shard


def _shard_name(index: int, count: int) -> str:
    return f"model-{index + 1:05}-of-{count:05}.safetensors"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
