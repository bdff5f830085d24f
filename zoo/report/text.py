"""What the text of a run is like, counted once while it is at hand and kept in the run folder as `data.json`.

A report is made from the run folder alone, which names the text but does not hold it; so the numbers that the report
shows, and the few tokens that attention is drawn on, are written when the run starts.

The entropy of single tokens, −Σ p log p over their shares p, is the loss of a model that knows how frequent each token
is and nothing else: where a language model starts to learn more, its loss falls below it.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from zoo.data.blend import Blend, portions_of
from zoo.data.corpus import Corpus
from zoo.data.split import Documents
from zoo.data.statistics import token_counts, unigram_entropy
from zoo.tokenizer.tokenizer import Tokenizer

MOST_TOKENS = 200_000_000
"""Of a side of the text that are counted; the first documents stand for the rest."""
EXCERPT = 22
"""Tokens of held-out text that attention is drawn on."""
MOST_FREQUENT = 15


def text_facts(corpus: Corpus) -> dict[str, Any]:
    """The numbers, as plain data.

    Args:
        corpus: tokenizer and documents; something is trained on.
    """
    size = corpus.tokenizer.vocab_size
    training, counted = _counts(corpus.training, size)
    held_out, _ = _counts(corpus.validation, size)
    facts = {
        "fingerprint": corpus.training.fingerprint,
        "training": _side(corpus.training),
        "held_out": _side(corpus.validation),
        "sources": {one.name: _side(one.documents) for one in portions_of(corpus.training) if one.name},
        "read": {
            name: {"documents": store.num_read, "kept": store.num_documents, "dropped": dict(store.dropped)}
            for name, store in corpus.stores.items()
        },
        "counted_tokens": counted,
        "vocabulary": size,
        "used": int(np.count_nonzero(training)),
        "entropy": unigram_entropy(training) * math.log(2),
        "held_out_cross_entropy": cross_entropy(held_out, training) if held_out.any() else None,
        "unseen_share": float(held_out[training == 0].sum() / held_out.sum()) if held_out.any() else None,
        "frequent": _frequent(training, corpus.tokenizer),
    }
    return facts | {"excerpt": _excerpt(corpus)}


def _counts(side: Documents | Blend, size: int) -> tuple[np.ndarray, int]:
    """((size,) how often each token occurs, how many tokens were counted); sources weigh as much as their shares."""
    portions = [portion for portion in portions_of(side) if portion.documents.num_documents]
    if not portions:
        return np.zeros(size, dtype=np.int64), 0
    each = [_portion_counts(portion.documents, size, MOST_TOKENS // len(portions)) for portion in portions]
    total = sum(int(counts.sum()) for counts in each)
    if len(each) == 1:
        return each[0], total
    shares = sum(portion.share for portion in portions)
    weighed = [
        counts * (total * portion.share / shares / counts.sum()) for counts, portion in zip(each, portions, strict=True)
    ]
    return np.sum(weighed, axis=0), total


def _portion_counts(documents: Documents, size: int, most: int) -> np.ndarray:
    """(size,) how often each token occurs in the first `most` tokens of the documents."""
    counts, total = np.zeros(size, dtype=np.int64), 0
    for start, stop in _runs(documents):
        stop = min(stop, start + most - total)
        counts += token_counts(documents.tokens[start:stop], size)
        total += stop - start
        if total >= most:
            break
    return counts


def _runs(side: Documents) -> list[tuple[int, int]]:
    """(start, stop) of the stretches of the store that lie side by side in these documents."""
    breaks = np.flatnonzero(side.starts[1:] != side.stops[:-1]) + 1
    starts = side.starts[np.append(0, breaks)]
    stops = side.stops[np.append(breaks - 1, len(side.stops) - 1)]
    return [(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def _side(side: Documents | Blend) -> dict[str, Any]:
    lengths = np.concatenate([documents.stops - documents.starts for _, _, documents in portions_of(side)])
    quantiles = np.percentile(lengths, (0, 10, 50, 90, 100)).round().astype(int).tolist() if len(lengths) else []
    return {"documents": len(lengths), "tokens": int(lengths.sum()), "lengths": quantiles}


def cross_entropy(counts: np.ndarray, model: np.ndarray) -> float:
    """Mean −log p of the counted tokens in nats, p being the shares in `model`, each token counted once more there."""
    logarithms = np.log(model + 1.0) - math.log(model.sum() + len(model))
    return float(-(counts * logarithms).sum() / counts.sum())


def _frequent(counts: np.ndarray, tokenizer: Tokenizer) -> list[list[Any]]:
    order = np.argsort(-counts, kind="stable")[:MOST_FREQUENT]
    return [[piece(tokenizer, int(id)), float(counts[id] / counts.sum())] for id in order if counts[id]]


def piece(tokenizer: Tokenizer, id: int) -> str:
    """A token as people read it, its spaces visible; one that is no text by itself as the vocabulary spells it."""
    text = tokenizer.decode([id], skip_special=False)
    if not text or "\N{REPLACEMENT CHARACTER}" in text:
        return tokenizer.token(id)
    return text.replace(" ", "\N{OPEN BOX}").replace("\n", "\N{RETURN SYMBOL}")


def _excerpt(corpus: Corpus) -> list[int]:
    """The first tokens of a held-out document that is long enough, else of the longest; if none is, of another."""
    text = corpus.validation if corpus.validation.num_documents else corpus.training
    side = next(portion.documents for portion in portions_of(text) if portion.documents.num_documents)
    lengths = side.stops - side.starts
    enough = np.flatnonzero(lengths >= EXCERPT)
    document = int(enough[0]) if len(enough) else int(np.argmax(lengths))
    start = int(side.starts[document])
    return [int(id) for id in side.tokens[start : start + min(EXCERPT, int(lengths[document]))]]


def to_json(facts: dict[str, Any]) -> str:
    """The facts as they are kept."""
    return json.dumps(facts, indent=1) + "\n"
