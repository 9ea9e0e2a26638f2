"""Measures what methods cost that change the training, as a whole step.

    KERAS_BACKEND=jax python benchmarks/training_cost.py --steps 50

times a step of a perceptron of 784, 256 and 10 units with dropout, in batches
of 64, with each method and with `KD`, in turns, and prints the median of the
times and of the ratios to `KD`, with quartiles.
"""

from __future__ import annotations

import keras
import numpy as np
import timing
from timing import Data, Ratio

import keras_dts
from keras_dts.losses import KD, StudentGuidedFeatures
from keras_dts.optimizers import LayerRates
from keras_dts.temperatures import MetaTemperature, ReinforcedTemperature

PLAIN = "KD"
BATCH = 64
UNITS = (784, 256, 10)


def perceptron() -> keras.Model:
    """Returns a classifier with dropout."""
    inputs, hidden, classes = UNITS
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(classes),
        ]
    )


def noise(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns inputs of noise, and labels."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, UNITS[0])).astype("float32")
    return x, rng.integers(0, UNITS[-1], count).astype("int32")


def meta(every: int) -> keras_dts.Distiller:
    """Returns a distiller with a meta step every so often."""
    policy = MetaTemperature(
        validation_data=noise(512), batch_size=BATCH, every=every
    )
    return keras_dts.Distiller(perceptron(), perceptron(), temperature=policy)


def reinforced(every: int) -> keras_dts.Distiller:
    """Returns a distiller whose agent learns every so many epochs."""
    policy = ReinforcedTemperature(warmup=1, every=every)
    return keras_dts.Distiller(perceptron(), perceptron(), temperature=policy)


def guided(passes: int) -> keras_dts.Distiller:
    """Returns a distiller by stochastic passes."""
    return keras_dts.Distiller(
        perceptron(), perceptron(), StudentGuidedFeatures(passes=passes)
    )


def plain() -> keras_dts.Distiller:
    """Returns a distiller at a constant temperature."""
    return keras_dts.Distiller(perceptron(), perceptron(), KD(4.0))


METHODS = {
    PLAIN: plain,
    "MKD": lambda: meta(1),
    "MKD, every 10": lambda: meta(10),
    "RLKD, learning": lambda: reinforced(1),
    "RLKD, acting": lambda: reinforced(1_000_000),
    "SSD, 30 passes": lambda: guided(30),
    "SSD, 10 passes": lambda: guided(10),
    "LayerRates": plain,
}
RATIOS = [Ratio(f"{name} / KD", name, (PLAIN,)) for name in METHODS][1:]


def main(arguments: list[str] | None = None) -> None:
    args = timing.arguments(__doc__).parse_args(arguments)
    data = Data(*noise(timing.examples(BATCH, args.steps)), BATCH)
    runs = {}
    for name, make in METHODS.items():
        distiller = make()
        optimizer = keras.optimizers.Adam(1e-3)
        if name == "LayerRates":
            optimizer = LayerRates(optimizer)
        distiller.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        runs[name] = timing.fit_step(distiller, data)
    times = timing.in_turns(runs, args.rounds)
    timing.report(args.out, "training_cost", timing.versions(), times, RATIOS)


if __name__ == "__main__":
    main()
