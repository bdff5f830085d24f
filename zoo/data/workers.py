"""Processes that encode documents side by side, and give the results back in the order of the documents.

Each is a Python of its own, started from nothing: a fork would copy the locks of the tokenizers library and of torch in
whatever state their threads hold them, and multiprocessing's own fresh processes would run the user's script once more.
A socket in place of the standard input joins it to a thread here, which hands it a batch and waits. So at most two
batches a process are under way, which bounds the memory; a process ends when the socket does, whatever ended the other
side.

Over the socket go only numbers and UTF-8, nothing that would have to be unpickled.
"""

from __future__ import annotations

import gc
import os
import queue
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from zoo.data.cache import BuildStopped
from zoo.data.encoding import OFFSET, Encoded, Encoder
from zoo.data.filter import Kept
from zoo.errors import DataError
from zoo.tokenizer.tokenizer import Tokenizer

_PROGRAM = "from zoo.data.workers import work; work()"
_PACKAGE_HOME = Path(__file__).resolve().parents[2]
_STANDARD_INPUT = 0
_SIZES = np.dtype("<i8")
_AHEAD_BYTES = 1 << 23
"""Text for each process beyond which only as much is read ahead as keeps it busy: where documents are long."""
_AT_ONCE_HERE = 2
"""Batches under way at once where no other process helps."""
_FINE, _FAILED = b"+", b"-"
_GONE = (EOFError, BrokenPipeError, ConnectionResetError)
"""What a socket says when the other side has ended."""


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def encoded(encoder: Encoder, batches: Iterable[Kept], num_workers: int) -> Iterator[tuple[Kept, Encoded]]:
    """Each batch with its tokens, in order.

    Args:
        encoder: what makes tokens of text.
        batches: what a filter left; read ahead by two for each process, by one where they are large.
        num_workers: processes, started where there is a batch at all; 0: this one does it, with the threads of the
            tokenizers library.

    Raises:
        DataError: a document cannot be encoded. BuildStopped: a process died or cannot be started.
    """
    rest = iter(batches)
    start = list(islice(rest, 1))
    if not start:
        return
    at_once = num_workers or _AT_ONCE_HERE
    with _Workers(encoder, num_workers) if num_workers else _Here(encoder) as workers:
        ahead: deque[tuple[Kept, Future[Encoded]]] = deque()
        for batch in chain(start, rest):
            ahead.append((batch, workers.submit(batch)))
            while len(ahead) > (at_once if _bytes(ahead) > at_once * _AHEAD_BYTES else 2 * at_once):
                first, future = ahead.popleft()
                yield first, future.result()
        for first, future in ahead:
            yield first, future.result()


def _bytes(ahead: Iterable[tuple[Kept, Future[Encoded]]]) -> int:
    return sum(int(batch.sizes.sum()) for batch, _ in ahead)


class _Here:
    """This process: while the ids of one batch leave the library, which takes one core, it works on the next batch."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._threads = ThreadPoolExecutor(_AT_ONCE_HERE, thread_name_prefix="encode")

    def __enter__(self) -> _Here:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def submit(self, batch: Kept) -> Future[Encoded]:
        return self._threads.submit(self._encoder.encode, batch.texts, batch.numbers)


class _Workers:
    """The processes while they are needed, and a thread for each of them."""

    def __init__(self, encoder: Encoder, count: int) -> None:
        self._encoder, self._count = encoder, count
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._open = ExitStack()

    def __enter__(self) -> _Workers:
        with ExitStack() as stack:
            self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="encode")
            stack.callback(self._threads.shutdown, cancel_futures=True)
            with tempfile.TemporaryDirectory(prefix="zoo-tokenizer-") as folder:
                self._encoder.tokenizer.save(folder)
                workers = [stack.enter_context(_Worker(folder, self._encoder)) for _ in range(self._count)]
                for worker in workers:
                    worker.open_tokenizer()
                    self._idle.put(worker)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()  # first the processes, so that no thread still waits for one

    def submit(self, batch: Kept) -> Future[Encoded]:
        return self._threads.submit(self._encode, batch)

    def _encode(self, batch: Kept) -> Encoded:
        if not batch.texts:
            return self._encoder.encode([], [])
        worker = self._idle.get()
        try:
            return worker.encode(batch)
        finally:
            self._idle.put(worker)


class _Worker:
    """One process, seen from the one that started it."""

    def __init__(self, folder: str, encoder: Encoder) -> None:
        self._dtype, self._fingerprint = encoder.dtype, encoder.tokenizer.fingerprint
        self._order = f"{int(encoder.sentences)}{folder}".encode()

    def __enter__(self) -> _Worker:
        self._socket, theirs = Pipe()
        search = [str(_PACKAGE_HOME), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(search), "TOKENIZERS_PARALLELISM": "false"}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM],  # -P: nothing is imported from the working directory
                stdin=theirs.fileno(),
                env=environment,
                process_group=0,  # Ctrl-C is for the process that started it to decide on
            )
        except OSError as error:
            raise BuildStopped(
                f"cannot start a process that encodes documents: {error}; see data.num_workers"
            ) from None
        finally:
            theirs.close()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()  # it holds nothing that could be lost
        self._process.wait()
        self._socket.close()

    def open_tokenizer(self) -> None:
        """Has it open the tokenizer; waits for that."""
        try:
            self._socket.send_bytes(self._order)
            opened = self._socket.recv_bytes().decode()
        except _GONE:
            raise BuildStopped(self._obituary()) from None
        assert opened == self._fingerprint

    def encode(self, batch: Kept) -> Encoded:
        """The tokens of a batch; waits for them."""
        try:
            _send_texts(self._socket, batch)
            answer = self._socket.recv_bytes()
            if answer == _FAILED:
                raise DataError(self._socket.recv_bytes().decode())
            tokens, lengths, sentences = (self._socket.recv_bytes() for _ in range(3))
        except _GONE:
            raise BuildStopped(self._obituary()) from None
        return Encoded(
            np.frombuffer(tokens, self._dtype), np.frombuffer(lengths, OFFSET), np.frombuffer(sentences, OFFSET)
        )

    def _obituary(self) -> str:
        status = self._process.wait()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
        why = "; the system may have run out of memory, of which fewer processes need less" if status == -9 else ""
        return (
            f"a process that encodes documents {how}{why}; the same command goes on from what is finished "
            "(data.num_workers=0 does without processes)"
        )


def _send_texts(socket: Connection, batch: Kept) -> None:
    contents = [text.encode() for text in batch.texts]
    socket.send_bytes(np.array(batch.numbers, _SIZES).tobytes())
    socket.send_bytes(batch.sizes.astype(_SIZES).tobytes())
    socket.send_bytes(b"".join(contents))


# --------------------------------------------------------------------------------------------- inside such a process


def work() -> None:
    """What such a process does: encodes batches from its standard input, a socket, until that ends."""
    gc.disable()  # nothing here makes a cycle, and a tuple a token would set the collector off all the time
    socket = Connection(os.dup(_STANDARD_INPUT))
    try:
        order = socket.recv_bytes().decode()
        encoder = Encoder(Tokenizer.load(order[1:]), sentences=order[0] == "1")
        socket.send_bytes(encoder.tokenizer.fingerprint.encode())
        while True:
            _answer(socket, encoder)
    except _GONE:
        return


def _answer(socket: Connection, encoder: Encoder) -> None:
    numbers = np.frombuffer(socket.recv_bytes(), _SIZES).tolist()
    stops = np.cumsum(np.frombuffer(socket.recv_bytes(), _SIZES)).tolist()
    content = socket.recv_bytes()
    texts = [content[start:stop].decode() for start, stop in zip([0, *stops], stops, strict=False)]
    try:
        result = encoder.encode(texts, numbers)
    except DataError as error:
        socket.send_bytes(_FAILED)
        socket.send_bytes(str(error).encode())
        return
    socket.send_bytes(_FINE)
    for array in result:
        socket.send_bytes(array.tobytes())
