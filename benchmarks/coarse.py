"""Compares students of caches that keep more or less of a teacher's answers.

    KERAS_BACKEND=jax python benchmarks/coarse.py --out results

trains the teacher of `keras-dts demo --task lm` once, keeps its answers to the
students' texts whole, by the 50 most probable tokens of 1,000 with a tail, and
the same in eight bits, and trains the same students from each, from the same
first weights and in the same order. Prints the bytes of a token on disk, where
the tail is, and the perplexities of the test, and writes them as CSV.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import keras
import numpy as np
import timing

import keras_dts
from keras_dts.experiments import TEXT_SETTINGS
from keras_dts.experiments.training import measure

KINDS = {
    "all tokens, float16": {"dtype": "float16"},
    "top 50, float16": {"top_k": 50},
    "top 50, 8 bits": {"top_k": 50, "dtype": "uint8"},
}


def trained(task, teacher, cache, seed):
    """Returns the test perplexity of one student."""
    keras.utils.set_random_seed(seed)
    student = task.make_student()
    distiller = keras_dts.Distiller(
        teacher, student, temperature=task.setting.temperature
    )
    task.compile(distiller)
    keras.utils.set_random_seed(seed)
    distiller.fit(
        cache,
        epochs=task.setting.student_epochs,
        batch_size=task.setting.student_batch,
        verbose=0,
    )
    return measure(distiller, task.test, task.metric, 32)


def tail(cache):
    """Returns the mean mass of the tail."""
    (answers,) = cache.take(np.arange(len(cache)))[0].outputs
    logits = answers.astype("float64")
    probabilities = np.exp(logits - logits.max(-1, keepdims=True))
    return np.mean(probabilities[..., -1] / probabilities.sum(-1))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    task = TEXT_SETTINGS["lm"].task()
    teacher, row = task.train_teacher(verbose=False)
    print(f"teacher: {row.mean:.1f}", flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        caches = {
            kind: keras_dts.cache_teacher(
                teacher,
                task.train[0],
                Path(folder) / str(i),
                verbose=False,
                **options,
            )
            for i, (kind, options) in enumerate(KINDS.items())
        }
        for kind, cache in caches.items():
            size = cache.bytes_per_example / task.setting.length
            values = [
                trained(task, teacher, cache, seed)
                for seed in range(args.seeds)
            ]
            mean, std = statistics.mean(values), statistics.stdev(values)
            note = f", tail {tail(cache):.3f}" if "top" in kind else ""
            print(
                f"{kind:20} {size:7.1f} bytes{note} {mean:.2f} ± {std:.2f}",
                flush=True,
            )
            rows.append((kind, f"{size:.1f}", *(f"{v:.3f}" for v in values)))
    header = ["cache", "bytes a token", *map(str, range(args.seeds))]
    timing.write(args.out, "coarse", header, rows)


if __name__ == "__main__":
    main()
