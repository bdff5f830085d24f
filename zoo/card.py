"""The card of a model: what is known of it, as data (`card.json` in a folder of ours) and as a page (README.md).

What a run folder tells (the fingerprint of its text, steps, tokens, objectives, optimizer, validation) is gathered when
a model is saved or exported from there, and goes along from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zoo.checkpoint.model import CARD_NAME, read_card
from zoo.errors import CheckpointError
from zoo.models import Model
from zoo.quantity import duration, short_number
from zoo.report.folder import Log, Run, read_run
from zoo.tokenizer.tokenizer import Tokenizer

Facts = dict[str, Any]


class Opened(NamedTuple):
    """How a folder is opened.

    Attributes:
        zoo: the line of Python for us. transformers: the class of transformers, "" where it does not open there.
    """

    zoo: str
    transformers: str = ""


def gather(source: Path | None) -> Facts:
    """What is known of the model in a folder: its card, and what the run around it tells.

    Args:
        source: a model folder, a step, or a run; None: nothing is known.
    """
    if source is None:
        return {}
    known = read_card(source) if (source / CARD_NAME).is_file() else {}
    run = next((folder for folder in (source, *source.parents[:3]) if (folder / "checkpoints").is_dir()), None)
    if run is None:
        return known
    try:
        return {**known, **_of_run(read_run(run), _step(source))}
    except CheckpointError:  # a run that has logged nothing yet has nothing to tell
        return known


def _step(source: Path) -> int | None:
    """The step that a folder belongs to: …/checkpoints/step-7/model."""
    names = [name.removeprefix("step-") for name in source.parts if name.startswith("step-")]
    return int(names[-1]) if names and names[-1].isdecimal() else None


def _of_run(run: Run, step: int | None) -> Facts:
    log, config = run.log, run.config
    optimizer, schedule, trainer = (_group(config, name) for name in ("optimizer", "schedule", "trainer"))
    reached = step if step is not None else run.steps
    budget = {name: trainer[name] for name in trainer if name.startswith("max_") and trainer[name] is not None}
    training = {
        "run": run.name,
        "step": reached,
        "tokens": _at(log, "tokens", reached),
        "seconds": _at(log, "seconds", reached),
        "objectives": [str(each.get("kind", name)) for name, each in run.objectives.items()],
        "budget": budget,
        "optimizer": {
            name: optimizer.get(name) for name in ("kind", "learning_rate", "weight_decay") if name in optimizer
        },
        "schedule": schedule.get("kind"),
        "seed": config.get("seed"),
        "origin": run.origin or None,
    }
    text = {name: run.text[name] for name in ("fingerprint", "training", "held_out", "sources") if name in run.text}
    for part in ("training", "held_out"):
        if isinstance(text.get(part), dict):
            text[part] = {name: text[part][name] for name in ("documents", "tokens") if name in text[part]}
    return {
        "training": {name: value for name, value in training.items() if value not in (None, {}, [])},
        "data": text,
        "evaluation": _evaluation(log, reached),
    }


def _group(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _at(log: Log, column: str, step: int) -> float | None:
    """The last number of a column up to a step."""
    axes, values = log.points(column)
    known = values[axes["steps"] <= step] if len(values) else values
    return float(known[-1]) if len(known) else None


def _evaluation(log: Log, step: int) -> Facts:
    """Figures of the last validation up to a step; of the loss, the best one too."""
    last = {
        name.removeprefix("validation/"): value
        for name in log.columns
        if name.startswith("validation/") and (value := _at(log, name, step)) is not None
    }
    axes, losses = log.points("validation/loss")
    known = losses[axes["steps"] <= step] if len(losses) else losses
    if not len(known):
        return {"last": last} if last else {}
    steps = axes["steps"][axes["steps"] <= step]
    place = int(np.argmin(known))
    return {"last": last, "best": {"loss": float(known[place]), "step": int(steps[place])}}


# ----------------------------------------------------------------------------------------------------------------- page


def page(name: str, model: Model, tokenizer: Tokenizer | None, facts: Facts, opened: Opened) -> str:
    """The card as Markdown.

    Args:
        name: of the folder. model: what is in it. tokenizer: of it.
        facts: as `gather` makes them.
        opened: how the folder is opened.
    """
    library = "transformers" if opened.transformers else "zoo"
    parts = [
        f"---\nlibrary_name: {library}\ntags:\n- zoo\n- {model.config.kind.replace('_', '-')}\n---\n\n# {name}\n",
        _section("Architecture", _architecture(model, facts)),
        _differences(facts.get("differences", ())),
        _section("Tokenizer", _tokenizer(tokenizer)),
        _section("Data", _data(facts.get("data", {}))),
        _section("Training", _training(facts.get("training", {}))),
        _section("Evaluation", _figures(facts.get("evaluation", {}))),
        f"## How to open it\n\n{_how(name, opened, tokenizer is not None)}",
    ]
    return "\n".join(part for part in parts if part)


def _differences(told: Sequence[str]) -> str:
    """What is otherwise here than in the model that was exported."""
    lines = "\n".join(f"- {difference}" for difference in told)
    return f"### Otherwise than in the model that was exported\n\n{lines}\n" if told else ""


def _section(title: str, rows: Mapping[str, object]) -> str:
    """A table of what is known; a section of which nothing is known says so."""
    shown = {name: value for name, value in rows.items() if value not in (None, "", [], {})}
    if not shown:
        return f"## {title}\n\nNot recorded.\n"
    lines = "\n".join(f"| {name} | {_cell(value)} |" for name, value in shown.items())
    return f"## {title}\n\n| | |\n|---|---|\n{lines}\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _architecture(model: Model, facts: Facts) -> dict[str, object]:
    config = model.config
    types = sorted({str(parameter.dtype).removeprefix("torch.") for parameter in model.parameters()})
    layers = ", ".join(f"{side.key or config.kind}: {side.stack.num_layers}" for side in config.sides())
    return {
        "family": config.kind.replace("_", "-"),
        "architecture": facts.get("architecture"),
        "parameters": f"{model.num_parameters:,}",
        "stored as": ", ".join(types),
        "layers": layers,
        "width": config.dim,
        "heads of attention": config.num_heads,
        "vocabulary": f"{config.vocab_size:,}" if config.vocab_size else None,
        "positions": config.positions.kind,
        "length it was made for": config.max_length,
        "heads": ", ".join(config.heads) or "none (hidden states only)",
    }


def _tokenizer(tokenizer: Tokenizer | None) -> dict[str, object]:
    if tokenizer is None:
        return {"tokenizer": "none in this folder"}
    roles = ", ".join(f"{role} `{tokenizer.token(id)}` ({id})" for role, id in tokenizer.roles.items())
    return {
        "ids": f"{tokenizer.vocab_size:,}",
        "special tokens": roles,
        "sentinels": len(tokenizer.sentinels) or None,
        "fingerprint": f"`{tokenizer.fingerprint}`",
    }


def _data(data: Mapping[str, Any]) -> dict[str, object]:
    def amount(part: Any) -> str:
        return ", ".join(f"{number:,} {name}" for name, number in part.items()) if isinstance(part, dict) else ""

    sources = data.get("sources")
    return {
        "fingerprint": f"`{data['fingerprint']}`" if "fingerprint" in data else None,
        "training text": amount(data.get("training")),
        "held out": amount(data.get("held_out")),
        "sources": ", ".join(sources) if isinstance(sources, dict) else None,
    }


def _training(training: Mapping[str, Any]) -> dict[str, object]:
    def words(group: Any) -> str:
        return ", ".join(f"{name} {value}" for name, value in group.items()) if isinstance(group, dict) else ""

    tokens, seconds = training.get("tokens"), training.get("seconds")
    return {
        "run": training.get("run"),
        "steps": f"{training['step']:,}" if "step" in training else None,
        "tokens": short_number(tokens) if tokens else None,
        "time": duration(seconds) if seconds else None,
        "objectives": ", ".join(training.get("objectives", [])),
        "budget": words(training.get("budget")),
        "optimizer": words(training.get("optimizer")),
        "schedule": training.get("schedule"),
        "seed": training.get("seed"),
        "origin": training.get("origin"),
    }


def _figures(evaluation: Mapping[str, Any]) -> dict[str, object]:
    rows: dict[str, object] = {f"validation {name}": value for name, value in evaluation.get("last", {}).items()}
    best = evaluation.get("best")
    return {**rows, "best validation loss": f"{best['loss']:.4g} (step {best['step']:,})"} if best else rows


def _how(name: str, opened: Opened, has_tokenizer: bool) -> str:
    folder = f"folder = {name!r}  # the one that this page lies in"
    text = f"With zoo:\n\n```python\nimport zoo\n\n{folder}\n{opened.zoo}\n```\n"
    if opened.transformers:
        names = f"{opened.transformers}, AutoTokenizer" if has_tokenizer else opened.transformers
        lines = [folder, f"model = {opened.transformers}.from_pretrained(folder)"]
        lines += ["tokenizer = AutoTokenizer.from_pretrained(folder)"] if has_tokenizer else []
        text += (
            f"\nWith transformers:\n\n```python\nfrom transformers import {names}\n\n" + "\n".join(lines) + "\n```\n"
        )
    return text
