"""Times language models that learn from text which they write themselves.

    KERAS_BACKEND=jax python benchmarks/on_policy.py --out results

times, for each size of a batch, how long a batch of text takes to write, and
how long a training step takes without and with it: for GKD, whose text is the
student's, and for SKD, whose text the teacher mends, in blocks of several
lengths. Prints the memory of both models' caches too, as their shapes have it.

The models are GPT-2s with random weights, and the teacher is twice as wide as
the student; each response fills the window. The logits of two such models have
nothing in common, so that the teacher accepts the share of the drafts that
`--accepted` says. The defaults are for a CPU; for a GPU take

    --tokens 8192 --length 256 --width 384 --layers 6 --teacher-layers 12
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import timing
from keras import ops
from keras_hub import models

import keras_dts
from keras_dts import generation
from keras_dts.generation.cached import seeded_cache

PROMPTS = (4, 9)  # the shortest and the longest


class Sizes(NamedTuple):
    """The sizes of the models.

    Args:
        tokens: The number of tokens.
        length: The window.
        width: The student's width; the teacher's is twice that.
        layers: The student's layers.
        teacher_layers: The teacher's layers.
    """

    tokens: int
    length: int
    width: int
    layers: int
    teacher_layers: int


SMALL = Sizes(512, 12, 8, 1, 1)


class Setting:
    """The models and the data of one size of a batch.

    Args:
        batch: The rows of a batch.
        steps: How many steps are timed.
        sizes: The sizes of the models.
    """

    def __init__(self, batch: int, steps: int, sizes: Sizes) -> None:
        self.sizes = sizes
        self.length = sizes.length
        many = timing.examples(batch, steps)
        rng = np.random.default_rng(0)
        ids = rng.integers(0, sizes.tokens, (many, self.length + 1))
        ids = ids.astype("int32")
        asked = rng.integers(PROMPTS[0], PROMPTS[1] + 1, (many, 1))
        x = {
            "token_ids": ids[:, :-1],
            "padding_mask": np.ones((many, self.length), "int32"),
            "prompt_mask": (np.arange(self.length) < asked).astype("int32"),
        }
        self.data = timing.Data(x, ids[:, 1:], batch)

    def model(self, name: str) -> keras.Model:
        """Returns the teacher or the student, a GPT-2 without dropout."""
        sizes = self.sizes
        is_teacher = name == "teacher"
        width = sizes.width * (1 + is_teacher)
        backbone = models.GPT2Backbone(
            vocabulary_size=sizes.tokens,
            num_layers=sizes.teacher_layers if is_teacher else sizes.layers,
            num_heads=max(4, width // 64),
            hidden_dim=width,
            intermediate_dim=4 * width,
            max_sequence_length=self.length,
            dropout=0.0,
        )
        return models.GPT2CausalLM(backbone)

    def distiller(self, text: generation.Text) -> keras.Model:
        """Returns a compiled distiller on a text."""
        distiller = keras_dts.OnPolicyDistiller(
            self.model("teacher"),
            self.model("student"),
            keras_dts.losses.KD(1.0),
            text=text,
            stop_token_ids=None,
        )
        jit = keras.config.backend() != "torch"
        distiller.compile(keras.optimizers.Adam(1e-4), jit_compile=jit)
        return distiller

    def cache_bytes(self, name: str) -> int:
        """Returns the memory of one model's keys and values of a batch."""
        shape = (self.data.batch, self.length)
        inputs = {
            "token_ids": ops.zeros(shape, "int32"),
            "padding_mask": ops.ones(shape, "bool"),
        }
        cache = seeded_cache(self.model(name), inputs)
        width = np.dtype(keras.backend.standardize_dtype(cache.dtype)).itemsize
        return math.prod(cache.shape) * width


def writing(distiller: keras.Model, data: timing.Data) -> timing.Run:
    """Returns a function that times the writing of a batch."""
    x, _ = data.at(0)

    def run() -> float:
        start = timing.time.perf_counter()
        for step in range(data.steps):
            distiller.write(x, step)
        return 1e3 * (timing.time.perf_counter() - start) / data.steps

    return run


def contenders(
    setting: Setting, blocks: list[int], accepted: float
) -> dict[str, Callable[[], timing.Run]]:
    """Returns functions that make what is timed, by name."""
    texts = {"GKD": generation.StudentText(1.0, temperature=1.0)}
    for block in blocks:
        texts[f"SKD {block}"] = generation.MendedText(
            round(accepted * setting.sizes.tokens),
            block,
            sampler="random",
            teacher_sampler="random",
        )

    def step(text: generation.Text) -> timing.Run:
        return timing.fit_step(setting.distiller(text), setting.data)

    def write(text: generation.Text) -> timing.Run:
        return writing(setting.distiller(text), setting.data)

    found = {"KD, step": functools.partial(step, generation.StudentText(0.0))}
    for name, text in texts.items():
        found[f"{name}, writing"] = functools.partial(write, text)
        found[f"{name}, step"] = functools.partial(step, text)
    return found


def ratios_of(names: list[str]) -> list[timing.Ratio]:
    """Returns each text's times over those of GKD."""
    return [
        timing.Ratio(f"{name} / GKD", name, (f"GKD, {what}",))
        for what in ("writing", "step")
        for name in names
        if name.endswith(what) and f"GKD, {what}" in names
        if not name.startswith("GKD")
    ]


def main(arguments: list[str] | None = None) -> None:
    """Runs the benchmark.

    Args:
        arguments: The arguments of the command line.
    """
    parser = timing.arguments(__doc__)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 64])
    parser.add_argument("--blocks", nargs="+", type=int, default=[1, 3, 5])
    parser.add_argument("--accepted", type=float, default=0.8)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--length", type=int, default=48)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--teacher-layers", type=int, default=4)
    parser.add_argument(
        "--only", nargs="+", metavar="NAME", help="lines of the table"
    )
    args = parser.parse_args(arguments)
    sizes = Sizes(*(getattr(args, name) for name in Sizes._fields))
    memory = []
    for batch in args.batches:
        setting = Setting(batch, args.steps, SMALL if args.small else sizes)
        found = contenders(setting, args.blocks, args.accepted)
        chosen = args.only or list(found)
        if unknown := set(chosen) - set(found):
            parser.error(f"--only takes {list(found)}, not {sorted(unknown)}")
        for name in ("teacher", "student"):
            memory.append((batch, name, setting.cache_bytes(name)))
            print(f"cache of the {name}: {memory[-1][2] / 2**20:.2f} MiB")
        times = timing.in_turns({n: found[n]() for n in chosen}, args.rounds)
        title = f"batch of {batch}, {timing.versions()}"
        ratios = ratios_of(chosen)
        timing.report(args.out, f"on_policy-{batch}", title, times, ratios)
    header = ("batch", "model", "bytes")
    timing.write(args.out, "on_policy_caches", header, memory)


if __name__ == "__main__":
    main()
