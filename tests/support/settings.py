"""Settings that several ways of training must train alike."""

import dataclasses
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from helpers import blobs, copies, crossentropy, mlp, randomize
from keras import layers, ops
from keras.distillation import FeatureDistillation, LogitsDistillation
from texts import LABELS, SENTENCES, bert, gpt2

from keras_dts import Distiller, DynamicTemperature, losses, metrics
from keras_dts.temperatures import LogitStandardization

EPOCHS = 2
# Words, and the length of a row.
WORDS, LENGTH = 11, 5


@dataclasses.dataclass(frozen=True)
class Setting:
    """Two models, what they are trained on, and how.

    Attributes:
        models: Makes the teacher and the student.
        data: Makes `x`, and `y` and the weights where there are any. Of a
            setting on texts, `x` is strings, and the tokenized data are what
            the student's preprocessor makes of them.
        routes: The names of the routes that train this setting.
        options: Makes the other arguments of the distiller.
        compiled: Makes the other arguments of `compile`.
        loss: The loss on labels.
        features: The teacher's layers that a cache has to hold.
        batch: The batch size.
        chunk: Tokens in a chunk.
    """

    models: Callable[[], tuple[Any, Any]]
    data: Callable[[], tuple[Any, ...]]
    routes: tuple[str, ...]
    options: Callable[[], dict[str, Any]] = dict
    compiled: Callable[[], dict[str, Any]] = dict
    loss: Callable[[], Any] = crossentropy
    features: tuple[str, ...] = ()
    batch: int = 16
    chunk: int = 4

    def distiller(self, **kwargs):
        """Makes a distiller, whose projectors are always drawn alike."""
        keras.utils.set_random_seed(0)
        distiller = Distiller(
            *self.models(), student_loss_weight=0.3, **self.options(), **kwargs
        )
        distiller.compile(
            keras.optimizers.SGD(0.02, momentum=0.5),
            self.loss(),
            **self.compiled(),
        )
        return distiller


@dataclasses.dataclass(frozen=True)
class Run:
    """What a training came to: the last epoch's logs, and all weights."""

    logs: dict[str, float]
    student: list[np.ndarray]
    state: list[np.ndarray]

    @classmethod
    def of(cls, distiller, history):
        # Projectors are among what trains.
        state = [w for p in distiller.policies for w in p.weights]
        state += distiller.trainable_weights
        return cls(
            {name: values[-1] for name, values in history.history.items()},
            copies(distiller.student),
            [ops.convert_to_numpy(w) for w in state],
        )

    def check(self, other, tolerance=1e-5):
        """Checks that another run came to the same."""
        assert set(self.logs) == set(other.logs)
        for name, value in self.logs.items():
            np.testing.assert_allclose(
                other.logs[name], value, tolerance, tolerance, err_msg=name
            )
        for mine, theirs in (
            *zip(self.student, other.student, strict=True),
            *zip(self.state, other.state, strict=True),
        ):
            np.testing.assert_allclose(theirs, mine, tolerance, tolerance)


def dts():
    return DynamicTemperature(6.0, 1.0, 9.0, momentum=0.5, gap_scale="smooth")


def compare_metrics():
    return {
        "metrics": ["accuracy"],
        "distillation_metrics": [
            metrics.TeacherKL(),
            metrics.TeacherAgreement(),
        ],
    }


def two_outputs(hidden, seed):
    inputs = keras.Input((8,))
    x = layers.Dense(hidden, activation="relu", name="feat")(inputs)
    outputs = {"a": layers.Dense(4)(x), "b": layers.Dense(3)(x)}
    return randomize(keras.Model(inputs, outputs), seed)


def writer(width=6, seed=0, words=WORDS, mask=False, last=layers.Dense):
    """A language model of dense layers."""
    inputs = keras.Input((None,), dtype="int32")
    x = layers.Embedding(words, width, mask_zero=mask)(inputs)
    x = layers.Dense(width, activation="tanh")(x)
    return randomize(keras.Model(inputs, last(words)(x)), seed)


def rows():
    """Data of 50 rows, the last batch of which is smaller, with weights."""
    x, y = blobs(50)
    return x, y, np.linspace(0.5, 2.0, 50, dtype="float32")


def tokens():
    """Rows of tokens that end in padding, which has a weight of 0."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, WORDS, (9, LENGTH)).astype("int32")
    y = rng.integers(0, WORDS, (9, LENGTH)).astype("int32")
    lengths = rng.integers(0, LENGTH + 1, (9, 1))
    weights = (np.arange(LENGTH) < lengths).astype("float32")
    weights[:, 0] *= 2.0
    return x, y, weights


def masked_tokens():
    """Rows of tokens whose padding the models' masks say."""
    x, y, weights = tokens()
    return np.where(weights > 0, x, 0).astype("int32"), y


SETTINGS = {
    "weights, DTS and auto": Setting(
        models=lambda: (mlp(16, seed=1), mlp(seed=2)),
        data=rows,
        routes=("cached", "stopped"),
        options=lambda: {
            "distillation_losses": [losses.KD(), losses.ReverseKL("auto")],
            "temperature": dts(),
        },
        compiled=compare_metrics,
    ),
    # Keras would add up the losses of the replicas: its own loss is given by
    # its name, and so are penalties, which count once.
    "features, penalties and a loss by its name": Setting(
        models=lambda: (
            mlp(16, seed=1),
            mlp(seed=2, regularizer=keras.regularizers.L2(0.1)),
        ),
        data=blobs,
        routes=("cached", "stopped", "replicas", "devices"),
        options=lambda: {
            "distillation_losses": [
                losses.KD(),
                LogitsDistillation(3.0),
                FeatureDistillation("mse", "feat", "feat"),
                FeatureDistillation("mse", "out", "out"),
            ]
        },
        loss=lambda: "sparse_categorical_crossentropy",
        features=("feat", "out"),
    ),
    "models that end in a softmax": Setting(
        models=lambda: (
            mlp(16, seed=1, activation="softmax"),
            mlp(seed=2, activation="softmax"),
        ),
        data=blobs,
        routes=("cached", "replicas"),
        loss=keras.losses.SparseCategoricalCrossentropy,
    ),
    "two outputs without labels": Setting(
        models=lambda: (two_outputs(16, 1), two_outputs(4, 2)),
        data=lambda: blobs()[:1],
        routes=("cached",),
        options=lambda: {
            "distillation_losses": {"a": losses.KD(), "b": losses.MLKD()}
        },
        loss=lambda: None,
    ),
    "tokens, losses with and without temperatures": Setting(
        models=lambda: (writer(12, seed=1), writer(seed=2)),
        data=tokens,
        routes=("cached", "chunks", "cached chunks", "stopped"),
        options=lambda: {
            "distillation_losses": [
                losses.KD(dts()),
                losses.ReverseKL(),
                losses.GeneralizedJSD(0.3, temperature=2.0),
                losses.SkewKL(temperature="auto"),
                losses.DKD(),
            ],
            "distillation_loss_weights": [1.0, 0.5, 2.0, 1.0, 0.1],
            "temperature": LogitStandardization(dts()),
        },
        compiled=compare_metrics,
        batch=3,
    ),
    "tokens with masks": Setting(
        models=lambda: (writer(12, seed=1, mask=True), writer(2, mask=True)),
        data=masked_tokens,
        routes=("cached", "chunks"),
        options=lambda: {"temperature": dts()},
        batch=3,
    ),
    "texts to classify": Setting(
        models=lambda: (bert(16, 2, seed=1), bert()),
        data=lambda: (
            SENTENCES,
            LABELS,
            np.array([1.0, 2.0, 0.0, 0.5], "float32"),
        ),
        routes=("strings", "cached strings"),
        options=lambda: {"temperature": dts()},
        compiled=compare_metrics,
        batch=2,
    ),
    "texts to write": Setting(
        models=lambda: (gpt2(16, seed=1), gpt2(seed=2)),
        data=lambda: (SENTENCES,),
        routes=("strings", "strings in chunks", "cached strings"),
        options=lambda: {"temperature": dts()},
        compiled=compare_metrics,
        batch=2,
        chunk=7,
    ),
}


def tokenized(student, x, y=None, weights=None):
    """Returns what a task's preprocessor makes of strings, as NumPy."""
    data = student.preprocess_samples(x, y=y, sample_weight=weights)
    return keras.tree.map_structure(ops.convert_to_numpy, data)
