"""How the benchmarks measure: one place for warm-up, waiting and rounds."""

from __future__ import annotations

import argparse
import csv
import importlib
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

# Steps of each `fit` before the clock starts. In the first one, a fit makes
# its iterators and `keras_dts.Distiller` copies and checks.
WARM_UP = 2
# Rounds that are run however long they take.
FEWEST_ROUNDS = 3

Run = Callable[[], float]


class Data(NamedTuple):
    """Examples for one timed `fit`, in batches.

    Attributes:
        x: The inputs, a structure of arrays.
        y: The labels.
        batch: The size of a batch.
    """

    x: Any
    y: np.ndarray
    batch: int

    @property
    def steps(self) -> int:
        """The number of steps that are timed."""
        return len(self.y) // self.batch - WARM_UP - 1

    def at(self, step: int) -> tuple[Any, np.ndarray]:
        """Returns the inputs and labels of one batch."""
        batch = slice(step * self.batch, (step + 1) * self.batch)
        return keras.tree.map_structure(lambda a: a[batch], (self.x, self.y))


class Ratio(NamedTuple):
    """A quotient of times to report.

    Attributes:
        name: What it is called.
        over: What is measured.
        base: What it is compared with: the sum of these.
        target: What it should not exceed, or `None`.
    """

    name: str
    over: str
    base: tuple[str, ...]
    target: float | None = None


def examples(batch: int, steps: int) -> int:
    """Returns how many examples `fit_step` needs to time so many steps."""
    return batch * (WARM_UP + steps + 1)


class Stopwatch(keras.callbacks.Callback):
    """Times the steps of an epoch from the start of one to that of another.

    It has no method for the end of a batch: Keras would then wait for each
    step, which it does not do for a model's `fit` otherwise.

    Args:
        first: The first step that counts.
        last: The first step that does not count again.
    """

    def __init__(self, first: int, last: int) -> None:
        super().__init__()
        self._ends = (first, last)
        self._times: list[float] = []

    def on_train_batch_begin(self, batch, logs=None) -> None:
        if batch in self._ends:
            # A step returns before it is done. What the last one changed can
            # be read when it is, and all before it are.
            weight = self.model.trainable_variables[-1]
            keras.ops.convert_to_numpy(weight)
            self._times.append(time.perf_counter())

    @property
    def milliseconds(self) -> float:
        """The time of a step."""
        (first, last), (start, end) = self._ends, self._times
        return 1e3 * (end - start) / (last - first)


def fit_step(
    model: keras.Model,
    data: Data,
    callbacks: Callable[[], list[keras.callbacks.Callback]] = list,
) -> Run:
    """Returns a function that times a step of a compiled model's `fit`.

    Args:
        model: The model.
        data: What it is fitted on.
        callbacks: A function that makes callbacks for one `fit`.
    """

    def run() -> float:
        watch = Stopwatch(WARM_UP, WARM_UP + data.steps)
        model.fit(
            data.x,
            data.y,
            batch_size=data.batch,
            shuffle=False,
            verbose=0,
            callbacks=[watch, *callbacks()],
        )
        return watch.milliseconds

    return run


def forward(
    model: keras.Model,
    data: Data,
    *,
    wait_for_each: bool = True,
    torch_compile: bool = False,
) -> Run:
    """Returns a function that times a compiled forward pass of inference.

    The inputs are tensors on the device.

    Args:
        model: The model.
        data: The data; each pass takes the first batch.
        wait_for_each: Whether each pass is waited for, or only the last one,
            as in a training, where a GPU computes one step while the next
            step is prepared.
        torch_compile: Whether `torch.compile` compiles the pass on PyTorch.
    """
    inputs = keras.tree.map_structure(
        keras.ops.convert_to_tensor, data.at(0)[0]
    )
    compiled = _compiled(model, torch_compile)

    def run() -> float:
        start = time.perf_counter()
        for step in range(data.steps):
            outputs = compiled(inputs)
            if wait_for_each or step == data.steps - 1:
                keras.ops.convert_to_numpy(outputs)
        return 1e3 * (time.perf_counter() - start) / data.steps

    return run


def _compiled(model: keras.Model, torch_compile: bool) -> Callable[[Any], Any]:
    """Compiles a forward pass as the backend's trainer would."""
    backend = keras.config.backend()
    if backend == "jax":
        jax = importlib.import_module("jax")
        call = jax.jit(
            lambda *args: model.stateless_call(*args, training=False)[0]
        )
        # Read each time: a training that the model takes part in gives its
        # variables other buffers, and takes the old ones.
        return lambda x: call(
            [v.value for v in model.trainable_variables],
            [v.value for v in model.non_trainable_variables],
            x,
        )
    if backend == "tensorflow":
        tensorflow = importlib.import_module("tensorflow")
        model.compile()
        return tensorflow.function(
            lambda x: model(x, training=False), jit_compile=model.jit_compile
        )
    torch = importlib.import_module("torch")
    call = torch.no_grad()(lambda x: model(x, training=False))
    return torch.compile(call) if torch_compile else call


def in_turns(
    runs: Mapping[str, Run], rounds: int, seconds: float = math.inf
) -> dict[str, list[float]]:
    """Runs each once to compile it, then all of them in turns.

    Args:
        runs: Functions that return milliseconds, by name.
        rounds: How often each is run.
        seconds: No round begins after so many seconds of rounds, except the
            first three.

    Returns:
        The times by name, one for each round.
    """
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    for done in range(rounds):
        if done >= FEWEST_ROUNDS and time.perf_counter() - start > seconds:
            break
        for name, run in runs.items():
            times[name].append(run())
    return times


def quotients(
    times: Mapping[str, Sequence[float]], ratio: Ratio
) -> list[float]:
    """Returns a ratio of what was measured in the same round, for each."""
    base = zip(*(times[name] for name in ratio.base), strict=True)
    return [a / sum(b) for a, b in zip(times[ratio.over], base, strict=True)]


def show(times: Mapping[str, Sequence[float]], ratios: Sequence[Ratio]) -> None:
    """Prints the medians with their quartiles."""
    for name, values in times.items():
        print(f"{name:28} {_spread(values, 2)} ms")
    for ratio in ratios:
        target = f", target {ratio.target:.2f}" if ratio.target else ""
        values = quotients(times, ratio)
        print(f"{ratio.name:28} {_spread(values, 3)}{target}", flush=True)


def table(
    times: Mapping[str, Sequence[float]], ratios: Sequence[Ratio]
) -> tuple[list[str], list[tuple[float, ...]]]:
    """Returns the header and the rows of a CSV file, one row a round."""
    columns = {f"{name} (ms)": values for name, values in times.items()}
    columns |= {ratio.name: quotients(times, ratio) for ratio in ratios}
    return list(columns), list(zip(*columns.values(), strict=True))


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Returns the median, the lower and the upper quartile."""
    low, high = np.quantile(values, [0.25, 0.75])
    return statistics.median(values), float(low), float(high)


def _spread(values: Sequence[float], digits: int) -> str:
    median, low, high = quartiles(values)
    return f"{median:9.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def versions() -> str:
    """Returns the versions that a result depends on."""
    backend = keras.config.backend()
    number = importlib.import_module(backend).__version__
    return (
        f"keras {keras.__version__}, {backend} {number}, "
        f"python {platform.python_version()}"
    )


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Returns a parser of the arguments that the benchmarks share."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument(
        "--small", action="store_true", help="tiny sizes, to try the script"
    )
    return parser


def report(
    folder: Path,
    name: str,
    title: str,
    times: Mapping[str, Sequence[float]],
    ratios: Sequence[Ratio],
) -> None:
    """Prints what was measured, and writes it down.

    Args:
        folder: As for `write`.
        name: As for `write`.
        title: A line to print first.
        times: Milliseconds by name.
        ratios: The ratios to report.
    """
    print(title)
    show(times, ratios)
    write(folder, name, *table(times, ratios))


def write(
    folder: Path,
    name: str,
    header: Sequence[str],
    rows: Sequence[Any],
    note: str = "",
    machine: str | None = None,
) -> Path:
    """Writes a CSV file named by backend and machine.

    Args:
        folder: Where to; it is made if it is missing.
        name: What the file's name begins with.
        header: The names of the columns.
        rows: The rows. Floats are written with five digits.
        note: What else stands in the first line, after the versions.
        machine: The machine's name in the file's name, or `None` for the
            architecture of the processor.
    """
    folder.mkdir(parents=True, exist_ok=True)
    backend, machine = keras.config.backend(), machine or platform.machine()
    path = folder / f"{name}-{backend}-{machine}.csv"
    with path.open("w", newline="") as file:
        file.write(f"# {versions()}{note}\n")
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(
            [f"{x:.5g}" if isinstance(x, float) else x for x in row]
            for row in rows
        )
    return path
