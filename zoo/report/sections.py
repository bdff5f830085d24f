"""The parts of a report but for its curves: each is a section of the page, or says why there is none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from zoo.checkpoint.model import read_config
from zoo.config import build, default_mapping, flatten
from zoo.data.filter import REASONS
from zoo.data.sources import SourceConfig
from zoo.errors import ZooError
from zoo.loading import model_folder
from zoo.models import Model, ModelConfig
from zoo.models.anatomy import cost_rows, empty_model, part_rows
from zoo.own_blocks import made_with
from zoo.quantity import duration, short_number
from zoo.report.attention import Heads
from zoo.report.blocks import draw_model
from zoo.report.folder import Run, Sample
from zoo.report.heat_map import heat_maps
from zoo.report.markup import Child, element
from zoo.report.tables import Cell, facts, loss, percent, table, tiles, written

LOG_2 = 0.6931471805599453
MOST_ORIGINS = 20
"""Entries of origin.json that are shown."""


def section(key: str, title: str, *children: Child) -> Element:
    """A part of the page that the list at its top leads to."""
    return element("section", element("h2", title), *children, id=key)


def note(text: str) -> Element:
    """A line that says why something is not there, or what it means."""
    return element("p", text, class_="note")


def summary(run: Run) -> Element:
    """The numbers that are looked for first."""
    log, first = run.log, run.log.points("train/loss")[1]
    speed = run.log.points("tokens_per_second")[1]
    validation = log.points("validation/loss")[1]
    utilization = run.log.points("mfu")[1]
    bits = [name for name in log.columns if name.endswith("bits_per_byte") and log.last(name) is not None]
    seconds, tokens = log.last("seconds"), log.last("tokens")
    best = f"best {loss(validation.min())}" if len(validation) > 1 and validation.min() < validation[-1] else ""
    return tiles(
        [
            ("validation loss", loss(validation[-1]) if len(validation) else None, best),
            ("training loss", loss(first[-1]) if len(first) else None, f"from {loss(first[0])}" if len(first) else ""),
            *((name.split("/")[-1].replace("_", " "), loss(log.last(name) or 0.0), "") for name in bits[:1]),
            ("steps", f"{run.steps:,}", ""),
            ("tokens", short_number(tokens) if tokens else None, ""),
            ("time of training", duration(seconds) if seconds else None, ""),
            ("throughput", short_number(_middle(speed)) if len(speed) else None, "tokens/s, median"),
            ("MFU", percent(_middle(utilization)) if len(utilization) else None, "median"),
        ]
    )


def _middle(values: np.ndarray) -> float:
    return float(np.median(values))


def find_model(run: Run) -> tuple[Model | None, str]:
    """The model of a run without its weights; or None and why."""
    settings = run.config.get("model")
    if settings is None:
        return None, "The config does not say which model it was."
    try:
        config: ModelConfig = build(ModelConfig, settings, "model")
        if config.vocab_size is None:
            config = _with_vocabulary(config, run)
        return empty_model(config), ""
    except ZooError as error:
        imports = run.environment.get("imports")
        hint = made_with(imports) if isinstance(imports, list) and imports else ""
        return None, f"The model cannot be drawn: {error}{hint}"


def _with_vocabulary(config: ModelConfig, run: Run) -> ModelConfig:
    size = run.text.get("vocabulary")
    if isinstance(size, int):
        return dataclasses.replace(config, vocab_size=size)
    return read_config(model_folder(run.folder))


def model_section(model: Model | None, reason: str) -> Element:
    """The model as blocks."""
    drawn = note(reason) if model is None else draw_model(model)
    return section("model", "Model", drawn)


def cost_section(model: Model | None, run: Run) -> Element:
    """Parameters by part, and what a token costs."""
    if model is None:
        return section("cost", "Parameters and FLOPs", note("Not known without the model."))
    parts: list[list[Cell]] = [
        [element("span", part.strip(), style=f"padding-left:{(len(part) - len(part.lstrip())) / 2:g}rem"), count, share]
        for part, count, share in part_rows(model)
    ]
    return section(
        "cost",
        "Parameters and FLOPs",
        element(
            "div",
            table(("part", "parameters", "share"), parts, "total"),
            facts((name, words) for name, words in cost_rows(model)),
            class_="pair",
        ),
    )


def data_section(run: Run) -> Element:
    """What the text is like."""
    text = run.text
    try:
        return section("data", "Data", *_text_words(run)) if text else section("data", "Data", note(NO_TEXT))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError):
        return section("data", "Data", note("data.json is damaged."))


NO_TEXT = "Nothing is known of the text: the run has no data.json (runs from before zoo kept it have none)."


def _text_words(run: Run) -> list[Child]:
    text = run.text
    sides: list[list[Cell]] = []
    parts = {"training": text["training"], "held out": text["held_out"]}
    parts |= {f"{name} (training)": side for name, side in text.get("sources", {}).items()}
    for name, side in parts.items():
        if side["documents"]:
            low, tenth, middle, most, high = side["lengths"]
            sides.append([name, side["documents"], side["tokens"], low, tenth, middle, most, high])
    seen = run.log.last("tokens")
    total = text["training"]["tokens"]
    counted, size, held_out = text["counted_tokens"], text["vocabulary"], text["held_out_cross_entropy"]
    data = run.config.get("data")
    source = data.get("source") if isinstance(data, dict) else None
    pairs: list[tuple[str, Cell]] = [
        ("source", _source_words(source)),
        ("tokens seen", f"{seen:,.0f}, {_times(seen / total)}" if seen else None),
        ("vocabulary", f"{size:,} entries, {text['used']:,} occur ({percent(text['used'] / size)})"),
        ("entropy of single tokens", f"{loss(text['entropy'])} nats, {loss(text['entropy'] / LOG_2)} bits"),
        ("the same on held-out text", None if held_out is None else f"{loss(held_out)} nats"),
        ("held-out tokens never trained on", None if text["unseen_share"] is None else percent(text["unseen_share"])),
        ("counted", f"the first {counted:,} tokens of training text" if counted < total else None),
    ]
    most = max((share for _, share in text["frequent"]), default=1.0)
    bars = [
        element(
            "li",
            element("code", word),
            element("i", style=f"width:{100 * share / most:.1f}%"),
            element("small", percent(share)),
        )
        for word, share in text["frequent"]
    ]
    return [
        table(("", "documents", "tokens", "shortest", "10 %", "median", "90 %", "longest"), sides),
        *_read_words(text.get("read", {})),
        element(
            "div",
            facts(pairs),
            element("div", element("h4", "Most frequent tokens"), element("ol", *bars, class_="bars")),
            class_="pair",
        ),
        note(
            "The entropy of single tokens is the loss of knowing how frequent each token is and nothing else; a model "
            "that learned more is below it."
        ),
    ]


def _read_words(read: Mapping[str, Any]) -> list[Child]:
    """What was read of each source, and what of it was dropped, by reason; nothing where an older run did not say."""
    if not read:
        return []
    reasons = [one for one in REASONS if any(source["dropped"].get(one) for source in read.values())]
    rows: list[list[Cell]] = [
        [
            name or "all text",
            source["documents"],
            source["kept"],
            source["documents"] - source["kept"],
            *(source["dropped"].get(one, 0) for one in reasons),
        ]
        for name, source in read.items()
    ]
    columns = ("documents", "read", "kept", "dropped", *(REASONS[one] for one in reasons))
    return [table(columns, rows)]


def _times(ratio: float) -> str:
    return f"{ratio:.3g} times the text" if ratio >= 1 else f"{percent(ratio)} of the text"


def _source_words(source: object) -> str | None:
    """Kind and settings of a source, but for those that are as ever; of a mixture, those of each source in turn."""
    if not isinstance(source, dict):
        return None
    kind = str(source.get("kind", ""))
    if isinstance(parts := source.get("sources"), dict):
        return "; ".join([kind, *(f"{name}: {_source_words(part)}" for name, part in parts.items())])
    schema = SourceConfig.choices.get(kind)
    usual = {} if schema is None else flatten(default_mapping(schema))
    changed = {key: value for key, value in flatten(source).items() if key != "kind" and usual.get(key) != value}
    return ", ".join([kind, *(f"{key}={value}" for key, value in changed.items())])


def samples_section(run: Run) -> Element:
    """What the model made of prompts, the newest steps first."""
    if not run.samples:
        return section("samples", "Samples", note("The run has written no samples."))
    model = run.config.get("model")
    inline = isinstance(model, dict) and model.get("kind") == "decoder"
    by_step = [(step, list(group)) for step, group in groupby(run.samples, key=lambda sample: sample.step)][::-1]
    shown = [
        element(
            "details",
            element("summary", f"step {step:,}"),
            *(_sample(sample, inline) for sample in group),
            open=number == 0,
        )
        for number, (step, group) in enumerate(by_step)
    ]
    return section("samples", "Samples", *shown)


def _sample(sample: Sample, inline: bool) -> Element:
    """A prompt and what became of it: behind it where the model went on, else below it."""
    truth = None if sample.truth is None else element("small", "in the text: ", element("bdi", sample.truth))
    return element(
        "blockquote",
        element("span", sample.prompt, class_="prompt"),
        element("span", sample.output, class_="output"),
        truth,
        class_=None if inline else "filled",
        dir="auto",
    )


def attention_section(heads: Sequence[Heads], reason: str) -> Element:
    """Where the heads look."""
    if not heads:
        return section("attention", "Attention", note(reason))
    children: list[Child] = []
    for (stack, kind), group in groupby(heads, key=lambda each: (each.stack, each.kind)):
        layers = list(group)
        title = kind.replace("_", "-") + ("" if stack == "layers" else f" of the {stack}")
        children.append(element("h3", title[0].upper() + title[1:]))
        children.append(_tokens("text" if layers[0].keys == layers[0].queries else "looking", layers[0].queries))
        if layers[0].keys != layers[0].queries:
            children.append(_tokens("looked at", layers[0].keys))
        children.append(element("div", *map(heat_maps, layers), class_="layers"))
    return section("attention", "Attention", *children)


def _tokens(title: str, pieces: Sequence[str]) -> Element:
    return element("p", element("small", title), *(element("code", piece) for piece in pieces), class_="tokens")


def config_section(run: Run) -> Element:
    """The resolved config, as it was saved."""
    if not run.config_text:
        return section("config", "Config", note("There is no config.yaml in the folder."))
    return section(
        "config",
        "Config",
        note("Everything that decides the run. Saved as a file, it runs again with zoo pretrain."),
        element("pre", run.config_text, tabindex=0),
    )


def origin_pairs(origin: Mapping[str, Any]) -> list[tuple[str, Cell]]:
    """What origin.json says, entry by entry; each extension of the run on a line of its own."""
    others = {key: value for key, value in origin.items() if key != "extended"}
    pairs: list[tuple[str, Cell]] = [(key, written(value)) for key, value in flatten(others).items()]
    extended = origin.get("extended")
    for one in extended if isinstance(extended, list) else ():
        if isinstance(one, dict):
            pairs.append((f"extended at step {one.get('step')}", f"{one.get('from')} became {one.get('to')}"))
    return pairs


def environment_section(run: Run) -> Element:
    """What the run ran on."""
    pairs: list[tuple[str, Cell]] = []
    for name, value in run.environment.items():
        if isinstance(value, dict):
            pairs += [(str(key), str(child)) for key, child in value.items()]
        elif isinstance(value, list):
            words = [str(one.get("file", one)) if isinstance(one, dict) else str(one) for one in value]
            pairs.append((name, ", ".join(words) or None))
        else:
            pairs.append((name, str(value)))
    known = facts(pairs) if pairs else note("The run has no environment.json.")
    origin = origin_pairs(run.origin)[:MOST_ORIGINS]
    came_from = [element("h3", "Where it came from"), facts(origin)] if origin else []
    return section("environment", "Environment", known, *came_from)
