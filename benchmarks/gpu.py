"""Measures what a GPU shows: steps, a large vocabulary, and a cached teacher.

    KERAS_BACKEND=jax python benchmarks/gpu.py --out results

on a machine with one NVIDIA card, for JAX or PyTorch, in `mixed_bfloat16`. It
needs no network and ends after `--minutes` (10 if nothing is said). Each part
runs in a process of its own, so that none finds the memory of another:

- `step images` and `step texts`: the lines of `step_time.py`, on a resnet32x4
  and a resnet8x4 in batches of 512 images, and on BERT-style classifiers of 12
  and 6 layers of width 768 in batches of 64 texts of 128 tokens. JAX compiles
  each step. PyTorch runs it without a compiler, which is Keras's default; the
  parts that end in `torch.compile` pass `jit_compile=True`, and come last;
- `vocabulary ...`: time and peak memory of a step of a language model with
  128,256 words, with all logits and in chunks of tokens;
- `cache images` and `cache texts`: the lines of `cache.py` on the same models.

Writes `gpu-step-...csv`, `gpu-vocabulary-...csv` and `gpu-cache-...csv`, named
by backend and card. A part that is not done in time is named at the end.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cache
import keras
import models
import step_time
import timing
import vocabulary
from step_time import ALONE, CONSTANT, CORE, DTS, TEACHER
from timing import Ratio, Run

Row = dict[str, Any]
ChunkSize = int | str | None

LINES = (ALONE, TEACHER, CONSTANT, DTS, CORE)
# `torch.compile` may take too long for all of them: those that matter first.
COMPILED_LINES = (CONSTANT, DTS, CORE, ALONE, TEACHER)
RATIOS = (
    Ratio("DTS / constant", DTS, (CONSTANT,)),
    Ratio("DTS / core", DTS, (CORE,)),
    Ratio("constant / core", CONSTANT, (CORE,)),
    Ratio("DTS / floor", DTS, (ALONE, TEACHER)),
    Ratio("constant / floor", CONSTANT, (ALONE, TEACHER)),
)
CACHE_LINES = (cache.ALONE, cache.LIVE, cache.CACHED, cache.READ)
CACHE_RATIOS = cache.RATIOS[:2]

WORDS = 128_256  # Llama 3's vocabulary, and that of the published figures
INPUT_WORDS = 1_000  # what `models.token_model` embeds
TOKENS = (4_096, 8_192, 16_384, 32_768, 65_536)
WIDTH = 2_048
# From the smallest chunks to all logits, since JAX keeps only the highest peak.
# A chunk of "auto" has half as many tokens as the width here: 1,024 at 2,048.
SIZES: tuple[ChunkSize, ...] = ("auto", None)
MORE_SIZES: tuple[ChunkSize, ...] = (256, "auto", 4_096, None)
OUT_OF_MEMORY = "out of memory"
# About the longest that the rounds of a part take.
SECONDS = 20.0
# Seconds from which a step is long enough to be timed once.
LONG = 3.0

HEADERS = {
    "step": ("task", "compiled", "line", "unit"),
    "cache": ("task", "compiled", "line", "unit"),
    "vocabulary": (
        *("tokens", "words", "width", "line"),
        *("before (MB)", "peak (MB)", "unit"),
    ),
}
MACHINE = ("card", "keras", "backend", "version")
SPREAD = ("median", "lower quartile", "upper quartile", "rounds")


class Part(NamedTuple):
    """What one process measures.

    Attributes:
        axis: The file that its rows belong to.
        rows: A function from the arguments to the rows.
    """

    axis: str
    rows: Callable[[Namespace], Iterator[Row]]


def images(small: bool) -> step_time.Images:
    """Returns the images in batches that fill a GPU."""
    return step_time.Images(small, batch=512)


def texts(small: bool) -> step_time.Text:
    """Returns the texts with models of BERT's size, and of half its depth."""
    return step_time.Text(small, depths=(12, 6), width=768, heads=12, batch=64)


TASKS: dict[str, Callable[[bool], step_time.Task]] = {
    "images": images,
    "texts": texts,
}


def parts(small: bool) -> dict[str, Part]:
    """Returns all parts by name, in the order in which they run."""
    on_torch = keras.config.backend() == "torch"
    found = {}
    for name in TASKS:
        rows = functools.partial(step_rows, name, torch_compile=False)
        found[f"step {name}"] = Part("step", rows)
    points = [(tokens, WIDTH) for tokens in TOKENS]
    points.append((8_192, 4_096))  # as in the published figures
    for tokens, width in [(32, 16)] if small else points:
        sizes = (4, 8, None) if small else SIZES
        if (tokens, width) == (16_384, WIDTH):
            sizes = MORE_SIZES
        rows = functools.partial(vocabulary_rows, tokens, width, sizes)
        found[f"vocabulary {tokens} x {width}"] = Part("vocabulary", rows)
    for name in TASKS:
        found[f"cache {name}"] = Part(
            "cache", functools.partial(cache_rows, name)
        )
    # Last, because compiling takes minutes.
    for name in TASKS if on_torch else ():
        rows = functools.partial(step_rows, name, torch_compile=True)
        found[f"step {name}, torch.compile"] = Part("step", rows)
    return found


def step_rows(
    name: str, args: Namespace, *, torch_compile: bool
) -> Iterator[Row]:
    """Measures steps in turns.

    Args:
        name: The task.
        args: The arguments of the script.
        torch_compile: Whether to pass `jit_compile=True` on PyTorch.
    """
    task = TASKS[name](args.small)
    compiled = torch_compile or keras.config.backend() == "jax"
    task.jit_compile = compiled
    prepare: dict[str, Callable[[], Run]]
    prepare = step_time.contenders(task, args.steps)
    prepare[TEACHER] = lambda: timing.forward(
        task.pair()[0],
        task.data(args.steps),
        wait_for_each=False,
        torch_compile=torch_compile,
    )
    runs = {}
    begin = time.monotonic()
    for line in COMPILED_LINES if torch_compile else LINES:
        if torch_compile and time.monotonic() - begin > 30 * args.minutes:
            break  # half of the time is over
        runs[line] = prepare[line]()
        if torch_compile:
            # PyTorch compiles once more after it has seen what changes.
            runs[line](), runs[line]()
        took = time.monotonic() - begin
        print(f"{line}: ready after {took:.0f} s", file=sys.stderr, flush=True)
    times = timing.in_turns(runs, args.rounds, SECONDS)
    ratios = [r for r in RATIOS if {r.over, *r.base} <= set(runs)]
    yield from spreads(times, ratios, {"task": name, "compiled": compiled})


def cache_rows(name: str, args: Namespace) -> Iterator[Row]:
    """Measures steps with a cached teacher in turns.

    Args:
        name: The task.
        args: The arguments of the script.
    """
    task = TASKS[name](args.small)
    compiled = keras.config.backend() == "jax"
    task.jit_compile = compiled
    with tempfile.TemporaryDirectory() as folder:
        runs, _ = cache.contenders(task, args.steps, folder)
        runs = {line: runs[line] for line in CACHE_LINES}
        times = timing.in_turns(runs, args.rounds, SECONDS)
    start = {"task": name, "compiled": compiled}
    yield from spreads(times, CACHE_RATIOS, start)


def spreads(
    times: dict[str, list[float]], ratios: Sequence[Ratio], start: Row
) -> Iterator[Row]:
    """Returns the rows of times and ratios, each with its quartiles."""
    for line, values in times.items():
        yield {**start, "line": line, "unit": "ms", **_spread(values)}
    for ratio in ratios:
        values = timing.quotients(times, ratio)
        yield {**start, "line": ratio.name, "unit": "ratio", **_spread(values)}


def _spread(values: Sequence[float]) -> Row:
    numbers = (*timing.quartiles(values), len(values))
    return dict(zip(SPREAD, numbers, strict=True))


def vocabulary_rows(
    tokens: int, width: int, sizes: Sequence[ChunkSize], args: Namespace
) -> Iterator[Row]:
    """Measures the memory of steps one after the other, and time in turns.

    Args:
        tokens: The number of tokens in a batch.
        width: The size of the hidden states.
        sizes: The sizes of the chunks, `None` for all logits. One teacher and
            one student serve them all.
        args: The arguments of the script.
    """
    words = 32 if args.small else WORDS
    start = {"tokens": tokens, "words": words, "width": width}
    x, y = vocabulary.batch(tokens, words)
    x = x % INPUT_WORDS
    pair = token_models(words, width)
    before = {"before (MB)": in_use()}
    runs: dict[ChunkSize, Run] = {}
    once: dict[ChunkSize, list[float]] = {}
    needed: dict[ChunkSize, float | str] = {}
    for size in sizes:
        run = vocabulary.step(*pair, size, x, y)
        low = lowered_peak()
        if not fits(run):
            # A step that failed halfway leaves models without weights.
            pair, run = None, None
            runs = dict.fromkeys(runs)
            free()
            pair = token_models(words, width)
            runs = {s: vocabulary.step(*pair, s, x, y) for s in runs}
            line = {"line": name_of(size), **before, "peak (MB)": OUT_OF_MEMORY}
            yield {**start, **line}
            continue
        peak = vocabulary.peak()
        needed[size] = peak if peak > low else f"at most {peak:.0f}"
        seconds = vocabulary.seconds(run)
        if seconds > LONG:
            once[size] = [1e3 * seconds]
        else:
            runs[size] = run
    clocks = {
        size: lambda run=run: 1e3 * vocabulary.seconds(run)
        for size, run in runs.items()
    }
    times = once | timing.in_turns(clocks, args.rounds, SECONDS)
    for size, peak in needed.items():
        line = {"line": name_of(size), **before, "peak (MB)": peak}
        yield {**start, **line, "unit": "ms", **_spread(times[size])}


def token_models(words: int, width: int) -> tuple[keras.Model, keras.Model]:
    """Returns a teacher and a student."""
    teacher, student = (
        models.token_model(words, width=width) for _ in range(2)
    )
    return teacher, student


def name_of(size: ChunkSize) -> str:
    return "all logits" if size is None else f"chunks, {size}"


def fits(run: Callable[[], Any]) -> bool:
    """Runs a step; returns whether the card has memory enough for it."""
    try:
        run()
    except Exception as error:
        if re.search("out of memory|RESOURCE_EXHAUSTED", str(error)) is None:
            raise
        return False
    return True


def in_use() -> float:
    """Returns the memory of the device that is in use, in MB."""
    backend = keras.config.backend()
    library = importlib.import_module(backend)
    if backend == "torch" and library.cuda.is_available():
        return library.cuda.memory_allocated() / 2**20
    if backend == "jax" and library.default_backend() == "gpu":
        return library.devices()[0].memory_stats()["bytes_in_use"] / 2**20
    return vocabulary.peak()


def lowered_peak() -> float:
    """Resets the peak where a backend can; returns what it is, in MB."""
    if keras.config.backend() == "torch":
        cuda = importlib.import_module("torch").cuda
        if cuda.is_available():
            cuda.reset_peak_memory_stats()
            return 0.0
    return vocabulary.peak()


def free() -> None:
    """Gives memory back that nothing refers to."""
    gc.collect()
    if keras.config.backend() == "torch":
        importlib.import_module("torch").cuda.empty_cache()


def machine() -> Row:
    """Returns the card and the versions."""
    backend = keras.config.backend()
    library = importlib.import_module(backend)
    card = "CPU"
    if backend == "torch" and library.cuda.is_available():
        card = library.cuda.get_device_name()
    if backend == "jax" and library.default_backend() == "gpu":
        card = library.devices()[0].device_kind
    numbers = (card, keras.__version__, backend, library.__version__)
    return dict(zip(MACHINE, numbers, strict=True))


def measure(part: Part, args: Namespace) -> Iterator[Row]:
    """Runs a part in this process."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for row in part.rows(args):
            yield {**machine(), **row}
    finally:
        keras.config.set_dtype_policy(policy)


def measure_elsewhere(name: str, args: Namespace, seconds: float) -> list[Row]:
    """Runs a part in a process of its own.

    Args:
        name: The part.
        args: The arguments of the script.
        seconds: The process ends after so many.

    Returns:
        The rows that it had when it ended.
    """
    command = [sys.executable, __file__, "--part", name]
    command += ["--small"] if args.small else []
    command += [f"--steps={args.steps}", f"--rounds={args.rounds}"]
    command += [f"--minutes={max(seconds, 0) / 60}"]
    # One pool of nearly all memory, so that no plain step fails because
    # the pool's pieces are small.
    memory = {
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.92",
        "PYTORCH_ALLOC_CONF": "expandable_segments:True",
    }
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as e:
        ended = subprocess.Popen(
            command, stdout=out, stderr=e, env={**memory, **os.environ}
        )
        try:
            failed = ended.wait(max(seconds, 0)) and "failed"
        except subprocess.TimeoutExpired:
            ended.kill()
            ended.wait()
            failed = f"was stopped after {seconds:.0f} s"
        if failed:
            e.seek(0)
            print(e.read()[-2_000:], f"{name} {failed}", sep="\n")
        out.seek(0)
        return [json.loads(line) for line in out if line.startswith("{")]


def write(folder: Path, axis: str, rows: Sequence[Row]) -> Path:
    """Writes the rows of an axis, in a file named by backend and card."""
    header = [*MACHINE, *HEADERS[axis], *SPREAD]
    card = re.sub("[^a-z0-9]+", "-", rows[0]["card"].lower())
    table = [[row.get(column, "") for column in header] for row in rows]
    return timing.write(folder, f"gpu-{axis}", header, table, machine=card)


def show(row: Row) -> None:
    """Prints a row."""
    shown = f"  {row['line']:18}"
    if SPREAD[0] in row:
        median, low, high, _ = (row[name] for name in SPREAD)
        shown += f"{median:9.3f} ({low:.3f} to {high:.3f}) {row['unit']}"
    peak = row.get("peak (MB)")
    if peak is not None:
        shown += f"  {peak:.0f} MB" if isinstance(peak, float) else f"  {peak}"
    print(shown, flush=True)


def arguments(given: list[str] | None) -> Namespace:
    parser = timing.arguments(__doc__)
    parser.set_defaults(steps=10)
    parser.add_argument(
        "--minutes", type=float, default=10.0, help="after which all ends"
    )
    parser.add_argument("--only", nargs="+", metavar="PART", help="parts")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args(given)
    if keras.config.backend() not in ("jax", "torch"):
        parser.error("KERAS_BACKEND must be jax or torch")
    names = list(parts(args.small))
    if unknown := set(args.only or []) - set(names):
        parser.error(f"--only takes {names}, not {sorted(unknown)}")
    return args


def main(given: list[str] | None = None) -> None:
    args = arguments(given)
    found = parts(args.small)
    if args.part:
        for row in measure(found[args.part], args):
            print(json.dumps(row), flush=True)
        return
    end = time.monotonic() + 60 * args.minutes
    rows: dict[str, list[Row]] = {}
    missing = []
    for name in args.only or found:
        start = time.monotonic()
        if args.small:
            measured = list(measure(found[name], args))
        else:
            measured = measure_elsewhere(name, args, end - start)
        print(f"{name} ({time.monotonic() - start:.0f} s)")
        for row in measured:
            show(row)
        if not measured:
            missing.append(name)
            continue
        rows.setdefault(found[name].axis, []).extend(measured)
        axis = found[name].axis
        write(args.out, axis, rows[axis])
    print(timing.versions(), f"not measured: {missing or 'nothing'}", sep="\n")


if __name__ == "__main__":
    main()
