"""A run goes on with a larger budget: as if it had had it from the start, bit for bit, or not at all.

Data, noise and dropout are functions of the step, so only the schedule knows where the run ends. The rates so far must
be those of the longer run: they are with a constant rate, an inverse square root, or a plateau whose decay has not
begun. A rate that runs towards the end of the run (linear, cosine) would have been another one since the warm-up; such
a run is branched instead (`branch.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from zoo.checkpoint.folder import newest_verified, steps_of
from zoo.checkpoint.model import TRAINING_FORMAT
from zoo.checkpoint.standing import read_standing
from zoo.checkpoint.tensors import load_tree
from zoo.config import flatten
from zoo.config_text import read_overrides
from zoo.errors import CheckpointError, ConfigError
from zoo.training.budget import UNITS, WORDS, Budget, Spent
from zoo.training.config import RunConfig, check_spelling
from zoo.training.origin import read_origin, record
from zoo.training.run_folder import RunFolder, harmless_keys, is_among
from zoo.training.schedule import Course
from zoo.training.shipped import load_run


def extend(folder: Path, settings: Iterable[str]) -> RunConfig:
    """Gives a run a larger budget; whoever trains it next goes on from its newest checkpoint to the new end.

    Args:
        folder: the run folder.
        settings: `key=value`: the budget in the run's own unit, and keys that change nothing of what is trained.

    Returns:
        The run's new config, which the folder has too.

    Raises:
        ConfigError: other settings, a budget that is not larger, or rates so far that would have been others.
        CheckpointError: the folder is no run, is damaged, or in use.
    """
    settings = list(settings)
    before = config_of(folder)
    after = _longer(folder, before, settings)
    run = RunFolder(folder, before)
    try:
        spent = spent_at(run.checkpoints)
        old, new = before.trainer.budget, after.trainer.budget
        _check_past(folder, before, new, spent)
        print(f"{folder}: {old} becomes {new}; {_rates(before, after, spent)}", file=sys.stderr)
        extended = [*read_origin(folder).get("extended", []), {"step": spent.steps, "from": str(old), "to": str(new)}]
        record(folder, extended=extended)
        run.result.unlink(missing_ok=True)  # first: a run that is killed here is as it was, and is found finished again
        run.write_config(after)
    finally:
        run.close()
    return after


def config_of(folder: Path) -> RunConfig:
    """The config of a run folder; raises CheckpointError where it is none."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} is no run folder: it has no config.yaml; name one that zoo pretrain made, for example runs/…"
        )
    config: RunConfig = load_run(path).config
    return config


def spent_at(checkpoints: Path) -> Spent:
    """What a run has used up at its newest whole checkpoint; nothing where there is none."""
    newest, complaints = newest_verified(checkpoints, format=TRAINING_FORMAT)
    if newest is None and complaints:
        raise CheckpointError("; ".join(complaints))
    if newest is not None and (why := read_standing(newest).ended):
        raise ConfigError(
            f"the run ended early: {why}; a larger budget would not take it further. Instead: zoo branch "
            f"{checkpoints.parent} --name … best.patience=null"
        )
    return Spent() if newest is None else spent_in(newest)


def spent_in(checkpoint: Path) -> Spent:
    """What a run had used up at a checkpoint."""
    from zoo.training.conductor import checkpoint_step, spent_by, state_in  # brings Lightning, seconds

    spent = spent_by(state_in(load_tree(checkpoint, "trainer")))
    spent.steps = checkpoint_step(checkpoint)
    return spent


def rate_after(config: RunConfig, spent: Spent, budget: Budget | None = None) -> float:
    """The learning rate of the step that comes when so much is spent of a budget; None: of the run's own."""
    course = Course(config.schedule, budget or config.trainer.budget)
    return config.optimizer.learning_rate * course.factor(spent, _typical_step(spent))


def _rates(before: RunConfig, after: RunConfig, spent: Spent) -> str:
    """The learning rate of the next step and of the last one that was to be, as they are now and were to be."""
    old = before.trainer.budget
    share = old.limit / spent.of(old.unit) if spent.steps else 0.0
    last = Spent(round(share * spent.steps), round(share * spent.tokens), round(share * spent.flops))
    last.clock = share * spent.clock
    words = [
        f"learning rate {rate_after(after, spent):.4g} (was to be {rate_after(before, spent):.4g}) in the next step"
    ]
    if share:
        now, then = rate_after(after, last), rate_after(before, last)
        words.append(f"{now:.4g} (was to be {then:.4g}) at {old.limit:.6g} {WORDS[old.unit]}")
    return ", ".join(words)


def _typical_step(spent: Spent) -> Spent:
    """What a step spends on average; nothing is known before the first."""
    steps = max(spent.steps, 1)
    return Spent(1, spent.tokens // steps or 1, spent.flops // steps or 1)


def _longer(folder: Path, before: RunConfig, settings: list[str]) -> RunConfig:
    budget = before.trainer.budget
    nested = read_overrides(settings).settings
    check_spelling(nested)
    said = flatten(nested)
    key = f"trainer.{budget.key}"
    harmless = harmless_keys(before.best.patience)
    for name in said:
        if name in {f"trainer.max_{unit}" for unit in UNITS} and name != key:
            raise ConfigError(f"{folder} is as long as trainer.{budget}; to extend it say {key}=…", name)
        if name != key and not is_among(name, harmless):
            raise ConfigError(
                f"cannot be changed by extending, which takes {key} (and {', '.join(harmless)}); for a run with other "
                f"settings from some step on: zoo branch {folder} --step N --name … {name}=…",
                name,
            )
    if key not in said:
        raise ConfigError(f"say how long {folder} shall be, now that it has {budget}: {key}=…")
    after: RunConfig = load_run(folder / "config.yaml", settings).config
    if after.trainer.budget.limit <= budget.limit:
        raise ConfigError(
            f"{after.trainer.budget.limit:.12g} is not more than the {budget.limit:.12g} of {folder}", key
        )
    return after


def _check_past(folder: Path, config: RunConfig, new: Budget, spent: Spent) -> None:
    """Raises ConfigError where the rates so far would have been others with the larger budget."""
    old, schedule = config.trainer.budget, config.schedule
    # The rate of a step depends on what is spent before it; of the last one, that is known exactly in steps alone.
    reached = spent.steps - 1 if old.unit == "steps" else spent.of(old.unit)
    until = schedule.same_until(old.limit, new.limit)
    if not spent.steps or reached <= until:
        return
    was, would = rate_after(config, _before(spent)), rate_after(config, _before(spent), new)
    kept = sorted(at for at, path in steps_of(folder / "checkpoints") if spent_in(path).of(old.unit) <= until)
    branch = f"zoo branch {folder} --step {kept[-1] if kept else spent.steps} --name … trainer.{new}"
    raise ConfigError(
        f"extending would change the past: the schedule {schedule.kind} runs towards the end of the run; at "
        f"{spent.of(old.unit):.6g} {WORDS[old.unit]} the rate was {was:.4g}, with {new} it would have been {would:.4g} "
        f"(the same up to {until:.6g}; kept checkpoints up to there: {', '.join(map(str, kept)) or 'none'}). Instead: "
        f"{branch}",
        "schedule.kind",
    )


def _before(spent: Spent) -> Spent:
    """What was spent before the last step, about."""
    step = _typical_step(spent)
    share = (spent.steps - 1) / max(spent.steps, 1)
    return Spent(spent.steps - 1, spent.tokens - step.tokens, spent.flops - step.flops, clock=spent.clock * share)
