"""Measures what chunks of tokens save in a step of a language model.

    KERAS_BACKEND=jax python benchmarks/vocabulary.py --out results

distils a model into one of the same size: an embedding, a normalization and a
dense layer onto the words, so that next to nothing but the vocabulary is
measured. The plain step and the chunked one (`chunk_size=None` and `"auto"`)
are measured for memory in a process of each: the peak of the resident set (on
a GPU of torch or JAX that of the allocator), minus what it was before the
first step; and for time in turns in one process. `--long` measures also the
memory of the chunked step at 65,536 tokens, and of the plain one at 8,192.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import timing
from keras import layers

import keras_dts

FORMS = {"plain": None, "chunked": "auto"}
LENGTH = 512


def language_model(words: int, width: int) -> keras.Model:
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(words, width)(inputs)
    x = layers.LayerNormalization()(x)
    return keras.Model(inputs, layers.Dense(words, use_bias=False)(x))


def stepper(form: str, tokens: int, words: int, width: int):
    """Returns a function that trains for a step and waits for its end."""
    teacher, student = (language_model(words, width) for _ in range(2))
    x, y = batch(tokens, words)
    return step(teacher, student, FORMS[form], x, y)


def batch(tokens: int, words: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns random inputs and labels, shape `(texts, length)`."""
    shape = (max(tokens // LENGTH, 1), min(tokens, LENGTH))
    x, y = np.random.default_rng(0).integers(0, words, (2, *shape))
    return x, y


def step(teacher: keras.Model, student: keras.Model, chunk_size, x, y):
    """Returns a function that trains for a step and waits for its end."""
    distiller = keras_dts.Distiller(teacher, student, chunk_size=chunk_size)
    distiller.compile(
        keras.optimizers.SGD(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return lambda: distiller.train_on_batch(x, y)


def peak() -> float:
    """Returns the most memory that was in use, in MB."""
    backend = keras.config.backend()
    library = importlib.import_module(backend)
    if backend == "torch" and library.cuda.is_available():
        return library.cuda.max_memory_allocated() / 2**20
    if backend == "jax" and library.default_backend() == "gpu":
        return library.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def memory(form: str, tokens: int, words: int, width: int) -> float:
    """Returns what a step needs over what there was, in MB, from a process."""
    command = [sys.executable, __file__, "--memory", form]
    for name, value in (("tokens", tokens), ("words", words), ("width", width)):
        command += [f"--{name}", str(value)]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(run.stdout.split()[-1])


def measure_memory(form: str, tokens: int, words: int, width: int) -> None:
    stepper(form, 8, 8, 8)()  # what a library loads for its first step
    run = stepper(form, tokens, words, width)
    before = peak()
    run()
    print(peak() - before)


def seconds(run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--tokens", type=int, default=4_096)
    parser.add_argument("--words", type=int, default=32_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--memory", choices=FORMS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    size = (args.words, args.width)
    if args.memory:
        measure_memory(args.memory, args.tokens, *size)
        return
    cases = [(form, args.tokens) for form in FORMS]
    cases += [("plain", 8_192), ("chunked", 65_536)] if args.long else []
    needed = {}
    for form, tokens in cases:
        needed[form, tokens] = memory(form, tokens, *size)
        print(f"{form}, {tokens} tokens: {needed[form, tokens]:.0f} MB")
    runs = [stepper(form, args.tokens, *size) for form in FORMS]
    for run in runs:
        run()  # compiles
    pairs = [[seconds(run) for run in runs] for _ in range(args.rounds)]
    plain, chunked = (statistics.median(x) for x in zip(*pairs, strict=True))
    ratios = [b / a for a, b in pairs]
    print(
        f"{timing.versions()}: {plain:.2f} s, {chunked:.2f} s, ratio "
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to "
        f"{max(ratios):.3f})"
    )
    rows = []
    for (form, tokens), megabytes in needed.items():
        times = [pair[list(FORMS).index(form)] for pair in pairs]
        shown = [f"{t:.3f}" for t in times] if tokens == args.tokens else []
        rows.append([form, tokens, f"{megabytes:.0f}", *shown])
    timing.write(
        args.out,
        "vocabulary",
        ["form", "tokens", "memory (MB)", "seconds a step"],
        rows,
        note=f", {args.words} words, width {args.width}",
    )


if __name__ == "__main__":
    main()
