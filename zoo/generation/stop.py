"""Texts that end at a stop string: found while they are written, cut before it, never shown in part."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from zoo.generation.stream import TextStream


class StoppingStream:
    """A `TextStream` that ends before the first stop string; what may be the beginning of one is held back.

    Args:
        stream: the text.
        stops: the strings, none of them empty.

    Attributes:
        is_stopped: whether one has come.
    """

    def __init__(self, stream: TextStream, stops: Sequence[str]) -> None:
        self._stream, self._stops = stream, stops
        self._held = ""
        self.is_stopped = False

    def push(self, token: int) -> str:
        """The text that is settled with this token, "" where there is none."""
        if self.is_stopped:
            return ""
        text = self._held + self._stream.push(token)
        piece = self._cut(text + self._stream.ahead if self._stops else text)
        if not self.is_stopped:
            settled = len(text) - self._beginning(text)
            piece, self._held = text[:settled], text[settled:]
        return piece

    def branch(self) -> StoppingStream:
        """Another stream that goes on from here by itself."""
        other = copy.copy(self)
        other._stream = self._stream.branch()
        return other

    def finish(self) -> str:
        """What was held back, where no stop string came of it."""
        return "" if self.is_stopped else self._cut(self._held + self._stream.finish())

    def _cut(self, text: str) -> str:
        """What of a text stands before the first stop string, which ends the stream."""
        found = [text.find(stop) for stop in self._stops if stop in text]
        self.is_stopped = bool(found)
        return text[: min(found)] if found else text

    def _beginning(self, text: str) -> int:
        """How many characters at the end of a text are the beginning of a stop string, at most."""
        lengths = range(min(len(text), max(map(len, self._stops), default=0)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(text[-n:]) for stop in self._stops)), 0)


class StopWatch:
    """Watches the texts of all rows of a batch for stop strings.

    Args:
        rows: the text of each row.
        silent: ids that end a row and are no text.
    """

    def __init__(self, rows: Sequence[StoppingStream], silent: Iterable[int]) -> None:
        self._rows, self._silent = rows, frozenset(silent)
        self._pieces: list[list[str]] = [[] for _ in rows]

    def __call__(self, chosen_B: Tensor, live_B: Tensor) -> Tensor:
        """(B,) tokens and whether their rows go on → (B,) bool, the rows that a stop string has ended."""
        for row, pieces, token, live in zip(self._rows, self._pieces, chosen_B.tolist(), live_B.tolist(), strict=True):
            if live and token not in self._silent:
                pieces.append(row.push(token))
        return torch.tensor([row.is_stopped for row in self._rows], device=chosen_B.device)

    def take(self, row: int) -> list[str]:
        """The pieces of a row's text since the last call, none of them empty."""
        pieces, self._pieces[row] = self._pieces[row], []
        return [piece for piece in pieces if piece]


class BeamWatch:
    """Watches the texts of the beams of a search for stop strings: each step branches them, and some branches go on.

    Args:
        rows: the text of each row.
        silent: ids that end a row and are no text.
    """

    def __init__(self, rows: Sequence[StoppingStream], silent: Iterable[int]) -> None:
        self._rows, self._silent = list(rows), frozenset(silent)
        self._branches: list[StoppingStream] = []

    def look(self, rows_PC: Tensor, tokens_PC: Tensor) -> Tensor:
        """(P, C) bool: of each candidate, a row and a token behind it, whether a stop string ends it."""
        candidates = zip(rows_PC.flatten().tolist(), tokens_PC.flatten().tolist(), strict=True)
        self._branches = [self._branch(row, token) for row, token in candidates]
        ended = [branch.is_stopped for branch in self._branches]
        return torch.tensor(ended, device=tokens_PC.device).view(tokens_PC.shape)

    def select(self, candidates_R: Tensor) -> None:
        """Goes on with these candidates of the last look, numbered row by row."""
        self._rows = [self._branches[number] for number in candidates_R.tolist()]

    def _branch(self, row: int, token: int) -> StoppingStream:
        branch = self._rows[row].branch()
        if token not in self._silent:
            branch.push(token)
        return branch
