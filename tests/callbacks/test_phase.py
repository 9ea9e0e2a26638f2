"""`Phase`: the best student of the phase before, and an optimizer as new."""

import keras
import numpy as np
import pytest
from helpers import assert_same, blobs, copies, crossentropy, mlp, randomize
from keras import layers

from keras_dts import Distiller
from keras_dts.callbacks import Phase
from keras_dts.losses import AnnealingKD
from keras_dts.schedules import EpochSchedule

(X, X_TEST), (Y, Y_TEST) = (np.split(a, [64]) for a in blobs(96))
BATCH = 16
BackupAndRestore = keras.callbacks.BackupAndRestore


def fit(model, epochs, callbacks=(), **kwargs):
    options = {"validation_data": (X_TEST, Y_TEST), **kwargs}
    return model.fit(
        X,
        Y,
        batch_size=BATCH,
        epochs=epochs,
        shuffle=False,
        callbacks=[*callbacks],
        verbose=0,
        **options,
    )


def annealed(student, optimizer, labels_from=2):
    """A distiller that anneals for two epochs, and then learns from labels."""
    model = Distiller(
        mlp(16, seed=1),
        student,
        AnnealingKD(epochs=2, levels=2),
        student_loss_weight=EpochSchedule([labels_from], [0.0, 1.0]),
    )
    model.compile(optimizer, crossentropy())
    return model


def linear():
    return randomize(
        keras.Sequential([keras.Input((8,)), layers.Dense(3)]), seed=2
    )


def softmax(z):
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class ByHand:
    """A linear student, and gradient descent with momentum, in NumPy."""

    def __init__(self, student, rate=0.05, momentum=0.9):
        self.weights = [w.astype("float64") for w in copies(student)]
        self.rate, self.momentum = rate, momentum
        self.as_new()

    def as_new(self):
        self.speed = [np.zeros_like(w) for w in self.weights]

    def logits(self, x):
        return x @ self.weights[0] + self.weights[1]

    def epoch(self, gradient):
        """Trains for an epoch; returns the loss on the test's labels."""
        for i in range(0, len(X), BATCH):
            x = X[i : i + BATCH]
            g = gradient(self.logits(x), slice(i, i + BATCH))
            for j, of in enumerate((x.T @ g, g.sum(0))):
                self.speed[j] = self.momentum * self.speed[j] - self.rate * of
                self.weights[j] = self.weights[j] + self.speed[j]
        p = softmax(self.logits(X_TEST))[range(len(Y_TEST)), Y_TEST]
        return -np.mean(np.log(p))


def test_each_phase_trains_what_it_says():
    model = annealed(linear(), keras.optimizers.SGD(0.05, momentum=0.9))
    hand = ByHand(model.student)
    taught = model.teacher.predict(X, verbose=0)
    kept = []
    for share in (0.5, 1.0):
        value = hand.epoch(
            lambda z, part, share=share: 2 * (z - share * taught[part]) / z.size
        )
        kept.append((value, hand.weights[:]))
    # The worst, which is not where the first phase ends.
    assert kept[0][0] > kept[1][0]
    hand.weights = kept[0][1]
    hand.as_new()
    for _ in range(2):
        hand.epoch(lambda z, part: (softmax(z) - np.eye(3)[Y[part]]) / len(z))

    fit(model, 4, [Phase(2, monitor="val_loss", mode="max")])
    assert_same(model.student.get_weights(), hand.weights, atol=1e-6)


def normalized():
    student = keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(6, name="feat"),
            layers.BatchNormalization(),
            layers.Dense(3, name="out"),
        ]
    )
    return randomize(student, seed=2)


def rate():
    return keras.optimizers.schedules.CosineDecay(0.1, 8)


class Students(keras.callbacks.Callback):
    """Notes the student's weights and its loss on labels after each epoch."""

    def __init__(self):
        super().__init__()
        self.weights, self.values = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(copies(self.model.student))
        self.values.append(logs["val_loss"])


def test_two_phases_are_two_fits():
    """The second of a plain model, with an optimizer of its own."""
    first = annealed(normalized(), keras.optimizers.Adam(rate()))
    fit(first, 2, [seen := Students()])
    student = normalized()
    student.set_weights(seen.weights[0])
    student.compile(keras.optimizers.Adam(rate()), crossentropy())
    fit(student, 2)

    mode = "min" if seen.values[0] < seen.values[1] else "max"
    both = annealed(normalized(), keras.optimizers.Adam(rate()))
    fit(both, 4, [Phase(2, monitor="val_loss", mode=mode)])
    assert_same(both.student.get_weights(), student.get_weights(), atol=1e-6)


@pytest.mark.torch
def test_without_restoring_the_student_goes_on():
    one = annealed(linear(), keras.optimizers.Adam(0.1))
    fit(one, 3, [Phase(2, restore=None)], validation_data=None)
    two = annealed(linear(), keras.optimizers.Adam(0.1))
    fit(two, 2)
    two.compile(keras.optimizers.Adam(0.1), crossentropy())
    fit(two, 3, initial_epoch=2)
    assert_same(one.student.get_weights(), two.student.get_weights(), atol=1e-6)


class Stop(keras.callbacks.Callback):
    """Stops in the second batch of an epoch, or at the epoch's end."""

    def __init__(self, epoch, at_end=False):
        super().__init__()
        self.stops, self.at_end = epoch, at_end

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if not self.at_end and (self.epoch, batch) == (self.stops, 1):
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        if self.at_end and epoch == self.stops:
            raise KeyboardInterrupt


def first_is_best(folder, stop=None):
    """Trains with a backup; the best student is that of the first epoch."""
    model = annealed(linear(), keras.optimizers.Adam(0.1))
    callbacks = [
        Phase(2, monitor="val_loss", mode="max"),
        BackupAndRestore(folder),
    ]
    # Between both, so that the end of an epoch is not backed up.
    callbacks.insert(1, stop or keras.callbacks.Callback())
    fit(model, 4, callbacks)
    return model


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    weights = copies(first_is_best(folder / "backup"))
    assert [*folder.iterdir()] == []
    return weights


@pytest.mark.parametrize(
    "stop",
    [Stop(1, at_end=True), Stop(2), Stop(3)],
    ids=["before its backup", "in the first epoch", "later"],
)
def test_a_stopped_training_ends_as_an_unbroken_one(stop, unbroken, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        first_is_best(tmp_path / "backup", stop)
    resumed = first_is_best(tmp_path / "backup")
    assert_same(resumed.get_weights(), unbroken, atol=1e-6)
