"""Measures what each method costs: its value and the student's gradient.

    python benchmarks/method_cost.py --out results

times the compiled value and gradient of each loss and policy on logits alone
(no model), for 64 images of 100 classes and for 256 tokens of a vocabulary
of 4,096, in turns with `KD` at a constant temperature, and prints the median
of the times and of the ratios to it. Runs on JAX.
"""

from __future__ import annotations

import argparse
import csv
import platform
import statistics
import time
from pathlib import Path

import jax
import keras
import numpy as np

from keras_dts import losses, temperatures
from keras_dts.logits import LogitPair

SHAPES = ((64, 100), (256, 4096))

METHODS = {
    "KD": lambda: losses.KD(4.0),
    "auto": lambda: losses.KD("auto"),
    "LSKD": lambda: losses.KD(temperatures.LogitStandardization()),
    "DTKD": lambda: losses.KD(temperatures.SharpnessTemperature()),
    "CSWT": lambda: losses.KD(temperatures.CosineSimilarityTemperature()),
    "CTKD": lambda: losses.KD(temperatures.CurriculumTemperature()),
    "CTKD, per instance": lambda: losses.KD(
        temperatures.CurriculumTemperature(instance=True)
    ),
    "TTM": lambda: losses.KD(temperatures.TransformedTeacher()),
    "WTTM": lambda: losses.KD(temperatures.TransformedTeacher(0.2, True)),
    "IDTS": lambda: losses.KD(temperatures.TokenDifficultyTemperature()),
    "IDTS and LATF": lambda: losses.KD(
        temperatures.TokenDifficultyTemperature(focus=temperatures.TokenFocus())
    ),
    "CIST": lambda: losses.KD(temperatures.ConsistentTemperature()),
    "ReverseKL": lambda: losses.ReverseKL(4.0),
    "GeneralizedJSD": lambda: losses.GeneralizedJSD(temperature=4.0),
    "SkewKL": lambda: losses.SkewKL(temperature=4.0),
    "SkewReverseKL": lambda: losses.SkewReverseKL(temperature=4.0),
    "TotalVariation": lambda: losses.TotalVariation(4.0),
    "DKD": lambda: losses.DKD(temperature=4.0),
    "ClassCorrelation": lambda: losses.ClassCorrelation(4.0),
    "BatchCorrelation": lambda: losses.BatchCorrelation(4.0),
    "MLKD": lambda: losses.MLKD(temperature=4.0),
    "CosineKD": lambda: losses.CosineKD(temperature=4.0),
    "AnnealingKD": lambda: losses.AnnealingKD(),
    "UniversalLogitDistillation": lambda: losses.UniversalLogitDistillation(4),
}


def prepare(loss: losses.LogitDistillation, shape: tuple[int, int]):
    """Returns a function that runs a compiled step and waits for it."""
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, *shape)).astype("float32")
    labels = rng.integers(0, shape[-1], shape[0]).astype("int32")
    loss.compute_loss(teacher, student, labels)  # builds what has to be
    policy = loss.temperature
    arrays = [jax.numpy.asarray(x) for x in (teacher, student)]

    def value(student, teacher, state):
        with keras.StatelessScope(zip(policy.variables, state, strict=True)):
            pair = LogitPair.of_logits(teacher, student, labels, None)
            found = policy(teacher, student, labels, training=True)
            return jax.numpy.mean(loss.values(pair, found))

    step = jax.jit(jax.value_and_grad(value))
    state = [v.value for v in policy.variables]

    def run():
        return jax.block_until_ready(step(arrays[1], arrays[0], state))

    run()
    return run


def timed(run, seconds: float) -> float:
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        run()
        count += 1
    return (time.perf_counter() - start) / count


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark.

    Args:
        argv: The arguments of the command line.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=METHODS)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    versions = f"keras {keras.__version__}, jax {jax.__version__}"
    rows = []
    for shape in SHAPES:
        base = prepare(METHODS["KD"](), shape)
        for name in args.only:
            run = prepare(METHODS[name](), shape)
            pairs = [
                (timed(base, args.seconds), timed(run, args.seconds))
                for _ in range(args.rounds)
            ]
            time_ms = 1e3 * statistics.median(mine for _, mine in pairs)
            ratios = [mine / kd for kd, mine in pairs]
            low, mid, high = np.quantile(ratios, [0.25, 0.5, 0.75])
            rows.append([name, *shape, f"{time_ms:.3f}", f"{mid:.2f}"])
            rows[-1] += [f"{low:.2f}", f"{high:.2f}"]
            print(
                f"{name:28} {shape!s:13} {time_ms:8.3f} ms  {mid:5.2f} x KD"
                f"  ({low:.2f} to {high:.2f})",
                flush=True,
            )
    name = f"method_cost-{platform.machine()}.csv"
    with (args.out / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"# {versions}, python {platform.python_version()}"])
        writer.writerow(
            ["method", "entries", "classes", "ms", "ratio", "25 %", "75 %"]
        )
        writer.writerows(rows)


if __name__ == "__main__":
    main()
