"""Which piece goes into which row: best fit decreasing.

Pieces are placed from the largest to the smallest, each into the fullest row that still has room for it (Johnson 1974,
"Near-optimal bin packing algorithms"). Sizes are small whole numbers, so pieces of one size are placed together: n
pieces take one sort and about as many steps as there are distinct pairs of size and room.
"""

from __future__ import annotations

import numpy as np

from zoo.data.rows import Integers


def best_fit(sizes: Integers, capacity: int) -> Integers:
    """The row of each piece.

    Args:
        sizes: (n,) slots that each piece takes, in [1, capacity]; at least one piece.
        capacity: slots of a row.

    Returns:
        (n,) int64 row numbers, 0 … rows − 1, in the order in which rows are opened. A function of the sizes alone.
    """
    rows = np.empty(len(sizes), np.int64)
    by_size = np.argsort(-sizes, kind="stable")
    distinct, first = np.unique(-sizes[by_size], return_index=True)
    rooms = _Rooms(capacity)
    for size, pieces in zip((-distinct).tolist(), np.split(by_size, first[1:]), strict=True):
        while len(pieces):
            room, open_rows = rooms.take(size, len(pieces))
            # Best fit puts as many equal pieces into one row as fit: after each, that row is the fullest.
            each = room // size
            placed = min(len(pieces), each * len(open_rows))
            rows[pieces[:placed]] = np.repeat(open_rows, each)[:placed]
            pieces = pieces[placed:]
            full, rest = divmod(placed, each)
            rooms.give(room - each * size, open_rows[:full])
            if rest:
                rooms.give(room - rest * size, open_rows[full : full + 1])
    return rows


class _Rooms:
    """Open rows by the room they have left."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.opened = 0
        self.by_room: dict[int, list[Integers]] = {}
        self.present = 0  # bit r is set where a row with room r is open: finds the smallest sufficient room in one step

    def take(self, size: int, num_pieces: int) -> tuple[int, Integers]:
        """The smallest room that holds `size`, and rows that have it, no more than the pieces can use."""
        sufficient = self.present >> size
        if not sufficient:
            count = -(-num_pieces // (self.capacity // size))
            self.opened += count
            return self.capacity, np.arange(self.opened - count, self.opened)
        room = size + (sufficient & -sufficient).bit_length() - 1
        rows = self.by_room[room].pop()
        if not self.by_room[room]:
            self.present ^= 1 << room
        count = -(-num_pieces // (room // size))
        self.give(room, rows[count:])
        return room, rows[:count]

    def give(self, room: int, rows: Integers) -> None:
        """Puts rows back with the room they have left; a full row is never asked for again."""
        if room and len(rows):
            self.by_room.setdefault(room, []).append(rows)
            self.present |= 1 << room
