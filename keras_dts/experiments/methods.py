"""The methods that `keras-dts compare` knows, with their published weights.

Where a paper adds its loss to the whole label loss, `student_loss_weight` is
0.5: both losses are then halved, which keeps their ratio.
"""

from __future__ import annotations

from typing import Any

import keras

from keras_dts.distiller import Distiller
from keras_dts.experiments.training import Method
from keras_dts.losses import (
    DKD,
    KD,
    MLKD,
    CosineKD,
    GeneralizedJSD,
    ReverseKL,
    SkewKL,
    TotalVariation,
)
from keras_dts.temperatures import (
    ConsistentTemperature,
    CosineSimilarityTemperature,
    CurriculumTemperature,
    DynamicTemperature,
    LogitStandardization,
    SharpnessTemperature,
    TokenDifficultyTemperature,
    TransformedTeacher,
)


def _cosine(teacher: keras.Model, student: keras.Model) -> keras.Model:
    policy = DynamicTemperature(4.0, 1.0, 4.0, gap_scale=None)
    return Distiller(teacher, student, temperature=policy)


def _beside_labels(
    losses: Any, weights: Any, teacher: keras.Model, student: keras.Model
) -> keras.Model:
    """Returns a distiller that adds the losses to the whole label loss."""
    return Distiller(teacher, student, losses, weights, student_loss_weight=0.5)


# The methods by their names on the command line, in the order of the table: the
# label in the table, and a function of teacher `t` and student `s`.
METHODS: dict[str, tuple[str, Method]] = {
    "alone": ("student alone", lambda t, s: s),
    "kd-1": ("KD, T=1", lambda t, s: Distiller(t, s, temperature=1.0)),
    "kd-2": ("KD, T=2", lambda t, s: Distiller(t, s, temperature=2.0)),
    "kd-4": ("KD, T=4", lambda t, s: Distiller(t, s, temperature=4.0)),
    "kd-8": ("KD, T=8", lambda t, s: Distiller(t, s, temperature=8.0)),
    "auto": ("KD, T=auto", lambda t, s: Distiller(t, s, temperature="auto")),
    "dts": (
        "DTS, 8 to 4",
        lambda t, s: Distiller(
            t, s, temperature=DynamicTemperature(8.0, 4.0, 8.0)
        ),
    ),
    "dts-4-2": (
        "DTS, 4 to 2",
        lambda t, s: Distiller(
            t, s, temperature=DynamicTemperature(4.0, 2.0, 4.0)
        ),
    ),
    "dts-smooth": (
        "DTS, smooth gap",
        lambda t, s: Distiller(
            t,
            s,
            temperature=DynamicTemperature(8.0, 4.0, 8.0, gap_scale="smooth"),
        ),
    ),
    "dts-auto": (
        "DTS, auto",
        lambda t, s: Distiller(t, s, temperature=DynamicTemperature("auto")),
    ),
    "cosine": ("cosine, 4 to 1", _cosine),
    "lskd": (
        "LSKD",
        lambda t, s: Distiller(
            t, s, KD(), [10.0], temperature=LogitStandardization(2.0)
        ),
    ),
    "lskd-dts": (
        "LSKD with DTS",
        lambda t, s: Distiller(
            t,
            s,
            KD(),
            [10.0],
            temperature=LogitStandardization(DynamicTemperature(4.0, 2.0)),
        ),
    ),
    "dtkd": (
        "DTKD",
        lambda t, s: _beside_labels(
            [KD(SharpnessTemperature(4.0)), KD(4.0)], [3.0, 1.0], t, s
        ),
    ),
    "dkd": ("DKD", lambda t, s: _beside_labels(DKD(1.0, 8.0, 4.0), None, t, s)),
    "dkd-dtkd": (
        "DKD with DTKD",
        lambda t, s: _beside_labels(
            DKD(1.0, 8.0, SharpnessTemperature(4.0, fixed_scale=True)),
            None,
            t,
            s,
        ),
    ),
    "cskd": (
        "CSKD",
        lambda t, s: _beside_labels(
            [
                CosineKD(temperature=4.0),
                CosineKD(temperature=CosineSimilarityTemperature()),
            ],
            None,
            t,
            s,
        ),
    ),
    "ctkd": (
        "CTKD",
        lambda t, s: Distiller(t, s, temperature=CurriculumTemperature()),
    ),
    "ctkd-each": (
        "CTKD, per instance",
        lambda t, s: Distiller(
            t, s, temperature=CurriculumTemperature(instance=True)
        ),
    ),
    "ttm": (
        "TTM",
        lambda t, s: _beside_labels(KD(TransformedTeacher(0.1)), [45.0], t, s),
    ),
    "wttm": (
        "WTTM",
        lambda t, s: _beside_labels(
            KD(TransformedTeacher(0.2, weighted=True)), [4.0], t, s
        ),
    ),
    "cist": (
        "CIST (reconstruction)",
        lambda t, s: Distiller(t, s, temperature=ConsistentTemperature()),
    ),
    "mlkd": ("MLKD, one view", lambda t, s: Distiller(t, s, MLKD())),
    "adakd": (
        "AdaKD (reverse KL)",
        lambda t, s: Distiller(t, s, ReverseKL(TokenDifficultyTemperature())),
    ),
    "reverse-kl": (
        "reverse KL, T=1",
        lambda t, s: Distiller(t, s, ReverseKL(1.0)),
    ),
    "jsd": (
        "JSD, beta 0.5, T=1",
        lambda t, s: Distiller(t, s, GeneralizedJSD(0.5, temperature=1.0)),
    ),
    "skew-kl": ("skew KL, T=1", lambda t, s: Distiller(t, s, SkewKL(0.1, 1.0))),
    "tv": (
        "total variation, T=1",
        lambda t, s: Distiller(t, s, TotalVariation(1.0)),
    ),
}
