"""A new run that starts from a step of another one, with other settings: a decay off a plateau, another learning rate.

The new folder gets the weights, the optimizer's state and the counts of that checkpoint, and is a run like any other
from then on: it needs the old one no more. Where the settings would have made no difference up to that step, it is, bit
for bit, the run that had them from the start. Settings of the optimizer and the schedule hold from the step on. What
step N trains on is a function of the settings and N, so with other data or another batch size the new run takes the
rows that a run with these would have at its step N: some may come again, some are left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from zoo.checkpoint.folder import newest_verified, steps_of, verify_folder
from zoo.checkpoint.model import TRAINING_FORMAT, load_weights, read_config
from zoo.checkpoint.tensors import load_tree
from zoo.config import build, difference, flatten, merged, to_mapping
from zoo.config_text import read_overrides
from zoo.errors import CheckpointError, ConfigError
from zoo.models import ModelConfig
from zoo.models.anatomy import empty_model
from zoo.spelling import spelled
from zoo.training.best import Standing
from zoo.training.checkpoint_io import FolderCheckpointIO
from zoo.training.conductor import checkpoint_step, state_in
from zoo.training.config import RunConfig
from zoo.training.ema import average_at
from zoo.training.extend import config_of, rate_after, spent_in
from zoo.training.imports import check_same_imports, recorded, records
from zoo.training.init_from import own_tokenizer
from zoo.training.logs import copy_logs
from zoo.training.origin import checkpoint_hash, read_origin, record
from zoo.training.run import Prepared, prepare
from zoo.training.run_folder import RunFolder
from zoo.training.shipped import load_run

FIXED = ("tokenizer", "init_from", "name")
"""What a branch cannot change: its weights belong to the tokenizer, and its name is said by itself."""
ORDER = ("data", "objectives", "seed", "trainer.batch_size", "trainer.batch_warmup", "trainer.length_warmup")
"""What changes which rows a step trains on."""


def branch(origin: Path, step: int | None, name: str, settings: Iterable[str] = (), folder: Path | None = None) -> Path:
    """Makes the folder of a branch; whoever trains it next goes on from the step that it starts from.

    The same call again finds the branch and leaves it as it is.

    Args:
        origin: a run folder.
        step: of a checkpoint that it has kept; None: its newest whole one.
        name: of the new run.
        settings: `key=value`, what is other in it.
        folder: where it lives; None: beside the other, by its name.

    Returns:
        The new folder.

    Raises:
        ConfigError: a setting does not fit. CheckpointError: no such checkpoint, or the folder is something else.
    """
    before, config = config_of(origin), _branched(origin, name, list(settings))
    folder = folder or origin.parent / name
    if not _check_free(folder, origin, step):
        RunFolder(folder, config).close()  # which refuses other settings
        return folder
    source = _checkpoint(origin, step)
    check_same_imports(origin, recorded(origin), records())
    prepared = prepare(own_tokenizer(config, origin))
    tree = _taken_over(before, prepared, source)
    run = RunFolder(folder, config)
    try:
        number = checkpoint_step(source)
        record(folder, branched={"run": str(origin.resolve()), "step": number, "sha256": checkpoint_hash(source)})
        prepared.corpus.tokenizer.save(folder / "tokenizer")
        copy_logs(origin, folder)
        average = average_at(source, config.trainer.ema, prepared.module.model)
        io = FolderCheckpointIO(prepared.module.model, prepared.corpus.tokenizer, average)
        io.save_checkpoint(tree, run.checkpoints / source.name)
    finally:
        run.close()
    _say(before, config, origin, source)
    return folder


@spelled({})  # settings, some of which are called like options
def _branched(origin: Path, name: str, settings: list[str]) -> RunConfig:
    for key in flatten(read_overrides(settings).settings):
        group = key.split(".")[0]
        if group in FIXED:
            hint = "say --name" if group == "name" else "a new run with other ones starts with init_from"
            raise ConfigError(f"cannot be changed by branching; {hint}", key)
    config: RunConfig = load_run(origin / "config.yaml", [*settings, f"name={json.dumps(name)}"]).config
    return config


def _checkpoint(origin: Path, step: int | None) -> Path:
    """The checkpoint to start from, whole."""
    kept = dict(steps_of(origin / "checkpoints"))
    listed = ", ".join(map(str, sorted(kept))) or "none"
    if step is None:
        newest, complaints = newest_verified(origin / "checkpoints", format=TRAINING_FORMAT)
        if newest is None:
            raise CheckpointError(f"{origin} has no checkpoint to branch from{'; '.join(['', *complaints])}")
        return newest
    if step not in kept:
        raise CheckpointError(
            f"{origin} has no checkpoint of step {step}; kept are: {listed} (trainer.save_every and trainer.keep say "
            "which)"
        )
    verify_folder(kept[step], format=TRAINING_FORMAT)
    return kept[step]


def _check_free(folder: Path, origin: Path, step: int | None) -> bool:
    """Whether the branch is still to be made; raises CheckpointError where something else is in its folder."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return True
    there = read_origin(folder).get("branched") if folder.is_dir() else None
    if there is None or there["run"] != str(origin.resolve()) or step not in (None, there["step"]):
        what = f"is a branch of {there['run']} at step {there['step']}" if there else "exists"
        raise CheckpointError(f"{folder} {what} already; give the branch another --name or --folder")
    return not steps_of(folder / "checkpoints")


def _taken_over(before: RunConfig, prepared: Prepared, source: Path) -> dict[str, Any]:
    """The training state of the checkpoint as the new run saves it; the prepared model gets its weights."""
    config, module = prepared.config, prepared.module
    spent, budget = spent_in(source), config.trainer.budget
    if budget.is_spent(spent):
        raise ConfigError(
            f"{budget.limit:.12g} leaves nothing to train: {spent.of(budget.unit):.12g} are spent at step "
            f"{spent.steps}; take more",
            f"trainer.{budget.key}",
        )
    tree: dict[str, Any] = load_tree(source, "trainer")
    state = state_in(tree)
    if state["fingerprints"]["tokenizer"] != prepared.fingerprints["tokenizer"]:
        raise CheckpointError(f"the tokenizer is not that of {source} any more; put back what it was made of")
    if before.optimizer.kind != config.optimizer.kind:
        raise ConfigError(
            f"{config.optimizer.kind} cannot go on from the state of {before.optimizer.kind}; start a new run from the "
            f"weights alone: zoo pretrain … init_from={source}",
            "optimizer.kind",
        )
    try:
        load_weights(module.model, source / "model")
    except CheckpointError as error:
        if (row := _reshaping(read_config(source / "model"), module.model.config)) is not None:
            key, was, now = row
            raise ConfigError(
                f"{now!r} (was {was!r}) makes another model, which the weights of step {spent.steps} do not fit; a "
                "branch takes only what leaves their shapes alone (dropout, for example): start a new run with it",
                f"model.{key}",
            ) from None
        raise CheckpointError(
            f"the weights of step {spent.steps} do not fit the settings of the branch: {error}"
        ) from None
    state["fingerprints"] = prepared.fingerprints
    state["standing"] = Standing(config.best).state()  # the other's best steps are not here, and its end is not ours
    _renew_groups(tree["optimizer_states"], before, prepared)
    return {**tree, "state_dict": {}}


def _reshaping(before: ModelConfig, after: ModelConfig) -> tuple[str, Any, Any] | None:
    """(key, old value, new value) of the first setting that changes names or shapes of the weights; None: none does."""
    changed, shapes = difference(before, after), _shapes(before)
    for row in changed:
        key, _, alone = row
        for part in reversed(key.split(".")):
            alone = {part: alone}
        try:
            one = build(ModelConfig, merged(to_mapping(before), alone))
        except ConfigError:  # it goes only together with another one
            continue
        if _shapes(one) != shapes:
            return row
    return changed[0] if changed and _shapes(after) != shapes else None


def _shapes(config: ModelConfig) -> dict[str, torch.Size]:
    """The shape of each weight by its name."""
    return {name: tensor.shape for name, tensor in empty_model(config).state_dict().items()}


def _renew_groups(states: list[dict[str, Any]], before: RunConfig, prepared: Prepared) -> None:
    """Puts what the settings change in the optimizer's groups into its saved state, and nothing else of them."""
    config, model = prepared.config, prepared.module.model
    old, new = (one.optimizer.build(model, model.config.initialization).state_dict() for one in (before, config))
    (state,) = states
    groups = zip(state["param_groups"], old["param_groups"], new["param_groups"], strict=True)
    for saved, was, becomes in groups:
        if was["params"] != becomes["params"]:
            raise ConfigError(
                "these settings put the weights into other groups; start a new run with init_from", "optimizer"
            )
        saved.update({key: value for key, value in becomes.items() if value != was.get(key)})


def _say(before: RunConfig, config: RunConfig, origin: Path, source: Path) -> None:
    """On stderr: what the branch is, and what of it is another since its start."""
    changed = [(key, was, is_) for key, was, is_ in difference(before, config) if key != "name"]
    words = ", ".join(f"{key} {is_!r} (was {was!r})" for key, was, is_ in changed) or "no setting changed"
    print(f"branched from {origin} at {source.name}: {words}", file=sys.stderr)
    spent = spent_in(source)
    now, then = rate_after(config, spent), rate_after(before, spent)
    print(f"learning rate of the next step: {now:.4g} (in {origin}: {then:.4g})", file=sys.stderr)
    if any(key == part or key.startswith(f"{part}.") for key, _, _ in changed for part in ORDER):
        print(
            "note: steps hold other rows now; some that were trained on may come again, some are left out",
            file=sys.stderr,
        )
