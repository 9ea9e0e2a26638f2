"""Trains a student with DTS in NumPy, in float64, and stores what it saw.

Written from the equations, without Keras: forward pass, gradients, SGD and
the schedule by hand. `python tests/equivalence/golden/make_golden.py` writes
`dts_run.json` beside this file.
"""

import json
import math
import pathlib

import numpy as np

EPOCHS, STEPS, BATCH = 4, 5, 16
WIDTH, CLASSES, HIDDEN = 8, 5, {"teacher": 24, "student": 6}
SCALE = {"teacher": 0.25, "student": 1.0}
RATE, STUDENT_WEIGHT = 0.2, 0.1
INITIAL, MINIMUM, MAXIMUM, MOMENTUM = 4.0, 1.0, 6.0, 0.9


def weights(seed, hidden, scale):
    rng = np.random.default_rng(seed)
    shapes = [(WIDTH, hidden), (hidden,), (hidden, CLASSES), (CLASSES,)]
    # Through float32, so that every backend starts from the same numbers.
    return [
        (scale * rng.normal(size=s)).astype("float32").astype("float64")
        for s in shapes
    ]


def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(STEPS * BATCH, WIDTH)).astype("float32")
    return x, rng.integers(0, CLASSES, STEPS * BATCH)


def forward(parameters, x):
    w1, b1, w2, b2 = parameters
    hidden = np.maximum(x @ w1 + b1, 0.0)
    return hidden, hidden @ w2 + b2


def log_softmax(z):
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def cross_entropy(z, y):
    return -log_softmax(z)[np.arange(len(y)), y].mean()


def next_temperature(temperature, gap, progress):
    target = INITIAL * 0.5 * (1 + math.cos(math.pi * progress))
    if gap > 1:
        ratio = gap / (gap - 1)
        target *= 1.35 if ratio > 2 else ratio
    target = min(max(target, MINIMUM), MAXIMUM)
    return MOMENTUM * temperature + (1 - MOMENTUM) * target


def train():
    x, y = data()
    teacher = weights(1, HIDDEN["teacher"], SCALE["teacher"])
    student = weights(2, HIDDEN["student"], SCALE["student"])
    temperature, log = INITIAL, []
    for epoch in range(EPOCHS):
        for step in range(STEPS):
            batch = slice(step * BATCH, (step + 1) * BATCH)
            xb, yb = x[batch].astype("float64"), y[batch]
            _, z_teacher = forward(teacher, xb)
            hidden, z = forward(student, xb)
            ce = cross_entropy(z, yb)
            gap = ce - cross_entropy(z_teacher, yb)
            temperature = next_temperature(
                temperature, gap, (epoch + 1) / EPOCHS
            )
            log_p = log_softmax(z_teacher / temperature)
            log_q = log_softmax(z / temperature)
            kl = (np.exp(log_p) * (log_p - log_q)).sum(axis=-1).mean()
            loss = (
                STUDENT_WEIGHT * ce + (1 - STUDENT_WEIGHT) * temperature**2 * kl
            )
            log.append({"loss": loss, "temperature": temperature, "gap": gap})
            one_hot = np.eye(CLASSES)[yb]
            dz = STUDENT_WEIGHT * (np.exp(log_softmax(z)) - one_hot)
            dz += (
                (1 - STUDENT_WEIGHT)
                * temperature
                * (np.exp(log_q) - np.exp(log_p))
            )
            dz /= BATCH
            dh = (dz @ student[2].T) * (hidden > 0)
            grads = [xb.T @ dh, dh.sum(0), hidden.T @ dz, dz.sum(0)]
            student = [
                w - RATE * g for w, g in zip(student, grads, strict=True)
            ]
    return log, student


if __name__ == "__main__":
    steps, final = train()
    path = pathlib.Path(__file__).with_name("dts_run.json")
    path.write_text(
        json.dumps(
            {"steps": steps, "final_kernel": final[2].tolist()}, indent=1
        )
        + "\n"
    )
