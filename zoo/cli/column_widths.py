"""How wide each column of a table is: lines break between words, and columns that can wait go, so no name is broken.

A terminal of 80 columns is what many people have, and what is listed is there to be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len


def kept_columns(needed: Sequence[int], dispensable: Iterable[int], room: int, gap: int) -> list[int]:
    """The numbers of the columns that stay where not all have room for their longest words.

    Args:
        needed: columns that the longest word of each takes.
        dispensable: numbers of those that may go, the first to go first.
        room: columns of the terminal.
        gap: between two columns.
    """
    kept = list(range(len(needed)))
    for number in dispensable:
        if _total((needed[one] for one in kept), gap) <= room:
            break
        kept.remove(number)
    return kept


def fitted_widths(cells: Sequence[Sequence[str]], room: int, gap: int) -> list[int]:
    """A width for each column: as wide as its longest cell, or no wider than all need to be for `room` columns.

    The widest give way first, down to their longest words; only where these have no room either are words broken.

    Args:
        cells: of each column its texts, the heading among them.
        room: columns of the terminal.
        gap: between two columns.
    """
    most = [max(map(cell_len, column)) for column in cells]
    if _total(most, gap) <= room:
        return most
    least = [longest_word(column) for column in cells]
    if _total(least, gap) > room:
        most, least = least, [1] * len(least)
    limit = max(most)
    while limit > 1 and _total(_limited(least, most, limit), gap) > room:
        limit -= 1
    return _limited(least, most, limit)


def longest_word(texts: Iterable[str]) -> int:
    """Columns of the longest word in any of these texts."""
    return max((cell_len(word) for text in texts for word in text.split()), default=1)


def _limited(least: Sequence[int], most: Sequence[int], limit: int) -> list[int]:
    return [max(low, min(high, limit)) for low, high in zip(least, most, strict=True)]


def _total(widths: Iterable[int], gap: int) -> int:
    each = list(widths)
    return sum(each) + gap * (len(each) - 1)
