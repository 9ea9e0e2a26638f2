"""Measures a training from a cached teacher, and reading the cache.

    KERAS_BACKEND=jax python benchmarks/cache.py --task images --out results

trains the student of `step_time.py` alone, with its teacher, and from a cache
of its teacher's answers, in turns, all of them shuffled and in epochs after
the first one; and reads the whole cache, shuffled, beside a forward pass of
the teacher. Prints the median times and ratios with quartiles, and what an
example takes on disk.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import keras
import timing
from step_time import STUDENT_LOSS_WEIGHT, TASKS, TEMPERATURE, Task, compiled
from timing import Data, Ratio, Run

import keras_dts

ALONE = "student alone"
TEACHER = "teacher forward"
LIVE = "live teacher"
CACHED = "cached teacher"
READ = "reading"

RATIOS = (
    Ratio("cached / alone", CACHED, (ALONE,), 1.05),
    Ratio("cached / live", CACHED, (LIVE,)),
    Ratio("reading / teacher", READ, (TEACHER,), 1.00),
)


def later_step(model: keras.Model, data: Data, x=None) -> Run:
    """Returns a function that times a step of a shuffled epoch.

    Args:
        model: The model.
        data: The data.
        x: A cache of them, or `None`.
    """

    def run() -> float:
        watch = timing.Stopwatch(timing.WARM_UP, timing.WARM_UP + data.steps)
        given = (data.x, data.y) if x is None else (x,)
        model.fit(*given, batch_size=data.batch, verbose=0, callbacks=[watch])
        return watch.milliseconds

    return run


def reading(cache: keras_dts.TeacherCache, data: Data) -> Run:
    """Returns a function that times a shuffled batch from the cache."""

    def run() -> float:
        batches = cache.batches(data.batch, shuffle=True)
        start = time.perf_counter()
        for index in range(len(batches)):
            batches[index]
        return 1e3 * (time.perf_counter() - start) / len(batches)

    return run


def contenders(
    task: Task, steps: int, folder: str
) -> tuple[dict[str, Run], keras_dts.TeacherCache]:
    """Returns by name what can be measured, and the cache.

    Args:
        task: What is distilled.
        steps: The number of steps that are timed.
        folder: The folder for the cache.
    """
    data = task.data(steps)
    teacher, alone = task.pair()
    live, cached = (
        compiled(
            keras_dts.Distiller(
                teacher,
                task.pair()[1],
                keras_dts.losses.KD(TEMPERATURE),
                student_loss_weight=STUDENT_LOSS_WEIGHT,
            ),
            task,
        )
        for _ in range(2)
    )
    cache = keras_dts.cache_teacher(
        teacher, (data.x, data.y), Path(folder) / "cache", verbose=False
    )
    runs = {
        ALONE: later_step(compiled(alone, task), data),
        TEACHER: timing.forward(teacher, data),
        LIVE: later_step(live, data),
        CACHED: later_step(cached, data, cache),
        READ: reading(cache, data),
    }
    return runs, cache


def main(arguments: list[str] | None = None) -> None:
    parser = timing.arguments(__doc__)
    parser.add_argument("--task", choices=sorted(TASKS), default="images")
    args = parser.parse_args(arguments)
    task = TASKS[args.task](args.small)
    with tempfile.TemporaryDirectory() as folder:
        runs, cache = contenders(task, args.steps, folder)
        times = timing.in_turns(runs, args.rounds)
        size = cache.bytes_per_example
    title = f"{args.task}, {timing.versions()}, {size:.0f} bytes an example"
    timing.report(args.out, f"cache-{args.task}", title, times, RATIOS)


if __name__ == "__main__":
    main()
