"""What each output of the models is, and what a training makes of it."""

import keras
import numpy as np
import pytest
from helpers import mlp
from keras import layers
from scipy.special import expit, log_expit, log_softmax, rel_entr, softmax

from keras_dts import Distiller
from keras_dts.losses import KD
from keras_dts.metrics import TeacherAgreement

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
CLASSES = RNG.integers(0, 3, 32)
TAGS = RNG.integers(0, 2, (32, 3)).astype("float32")
WEIGHTS = RNG.uniform(0.5, 2.0, 32).astype("float32")
WEIGHTS[:8] = 0
TEMPERATURE = 2.0


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def logs_of(teacher, student, y, loss, weights=None, metrics=None, **kwargs):
    """Returns what the first step logs."""
    kwargs.setdefault("temperature", TEMPERATURE)
    distiller = Distiller(teacher, student, **kwargs)
    distiller.compile(
        keras.optimizers.SGD(0.0), loss, distillation_metrics=metrics
    )
    run = distiller.fit(
        X, y, sample_weight=weights, batch_size=32, verbose=0, shuffle=False
    )
    return {name: values[0] for name, values in run.history.items()}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def of_labels(teacher, student):
    """Returns T² times the KL of each label, of logits in float64."""
    p, q = (
        np.stack([expit(-z / TEMPERATURE), expit(z / TEMPERATURE)])
        for z in (teacher, student)
    )
    return TEMPERATURE**2 * rel_entr(p, q).sum(axis=0)


def logits_of(model):
    z = model.predict(X, verbose=0).astype("float64")
    if model.layers[-1].activation is keras.activations.sigmoid:
        z = np.log(z) - np.log1p(-z)
    return z


@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(None, None), ("sigmoid", "sigmoid"), ("sigmoid", None)],
)
def test_labels_that_may_all_be_true_are_softened_one_by_one(
    theirs, ours, weights
):
    teacher = mlp(16, activation=theirs, seed=1)
    student = mlp(4, activation=ours, seed=2)
    loss = keras.losses.BinaryCrossentropy(from_logits=ours is None)
    logs = logs_of(teacher, student, TAGS, loss, weights, [TeacherAgreement()])
    t, s = logits_of(teacher), logits_of(student)
    counted = np.ones(32) if weights is None else weights
    entries = np.count_nonzero(counted) * 3
    close(
        logs["distillation_loss"],
        (of_labels(t, s) * counted[:, None]).sum() / entries,
    )
    gaps = [
        -(TAGS * log_expit(z) + (1 - TAGS) * log_expit(-z))[counted > 0].mean()
        for z in (s, t)
    ]
    close(logs["gap"], gaps[0] - gaps[1])
    agree = ((t > 0) == (s > 0)) * counted[:, None]
    close(logs["teacher_agreement"], agree.sum() / (3 * counted.sum()))


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_binary_cross_entropy_between_labels_that_may_all_be_true(activation):
    teacher = mlp(16, activation=activation, seed=1)
    student = mlp(4, activation=activation, seed=2)
    p, z = expit(logits_of(teacher)), logits_of(student)
    expected = -(p * log_expit(z) + (1 - p) * log_expit(-z)).mean()
    for loss in ("binary_crossentropy", keras.losses.BinaryCrossentropy()):
        logs = logs_of(
            teacher,
            student,
            TAGS,
            keras.losses.BinaryCrossentropy(from_logits=activation is None),
            distillation_losses=keras.distillation.LogitsDistillation(
                1.0, loss
            ),
        )
        close(logs["distillation_loss"], expected)


def test_binary_cross_entropy_between_classes_is_refused():
    message = (
        r"`LogitsDistillation` with a binary cross entropy needs an output of "
        r"labels that may all be true.*Received: an output of 3 classes"
    )
    with pytest.raises(ValueError, match=message):
        logs_of(
            mlp(16),
            mlp(4),
            CLASSES,
            sparse(),
            distillation_losses=keras.distillation.LogitsDistillation(
                1.0, "binary_crossentropy"
            ),
        )


def test_labels_that_may_all_be_true_need_one_for_each_unit():
    message = r"`y` must say of each label .*\(batch, 3\).*y.shape=\(batch,\)"
    with pytest.raises(ValueError, match=message):
        logs_of(mlp(16), mlp(), CLASSES, keras.losses.BinaryCrossentropy(True))


@pytest.mark.parametrize("swapped", [False, True])
def test_one_unit_and_two_are_the_same_two_classes(swapped):
    one = mlp(16, activation="sigmoid", classes=1, seed=1)
    two = mlp(4, classes=2, seed=2)
    y = CLASSES % 2
    z = logits_of(one)[:, 0]
    both = np.stack([0 * z, z], axis=-1), two.predict(X, verbose=0)
    if swapped:
        logs = logs_of(two, one, y, "binary_crossentropy")
        both = both[::-1]
    else:
        logs = logs_of(one, two, y, sparse())
    p, q = (softmax(z.astype("float64") / TEMPERATURE, -1) for z in both)
    close(
        logs["distillation_loss"],
        TEMPERATURE**2 * rel_entr(p, q).sum(axis=-1).mean(),
    )
    theirs, ours = (
        -log_softmax(z.astype("float64"), -1)[range(32), y].mean() for z in both
    )
    close(logs["gap"], ours - theirs)


@pytest.mark.parametrize("loss", ["mse", keras.losses.Huber()])
def test_values_are_no_distribution(loss):
    message = (
        r"`distillation_losses` on logits compare distributions .*output 0.*"
        r"MeanSquaredError"
    )
    with pytest.raises(ValueError, match=message):
        logs_of(mlp(16, classes=1), mlp(classes=1), TAGS[:, :1], loss)


def test_classes_on_another_axis_are_refused():
    inputs = keras.Input((8,))
    models = [
        keras.Model(inputs, layers.Reshape((3, 4))(layers.Dense(12)(inputs)))
        for _ in range(2)
    ]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True, axis=1)
    message = r"classes must be on the last axis.*axis=1"
    with pytest.raises(ValueError, match=message):
        logs_of(*models, np.ones((32, 3, 4), "float32"), loss)


def test_what_was_said_of_logits_is_held_against_the_values():
    student = mlp()
    before = student.get_weights()
    with pytest.raises(ValueError, match="`from_logits` must say"):
        logs_of(
            mlp(16, activation="softmax"),
            student,
            CLASSES,
            sparse(),
            from_logits=(True, True),
        )
    for now, then in zip(student.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def heads(width, seed, sizes):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8,))
    hidden = layers.Dense(width, activation="relu")(inputs)
    return keras.Model(
        inputs,
        [
            layers.Dense(size, name=name)(hidden)
            for name, size in zip(("z", "a"), sizes, strict=True)
        ],
    )


@pytest.mark.parametrize("sizes", [(3, 3), (5, 2)])
def test_labels_by_name_go_to_the_output_of_that_name(sizes):
    models = heads(16, 1, sizes), heads(4, 2, sizes)
    labels = [RNG.integers(0, size, 32) for size in sizes]
    logs = logs_of(
        *models,
        dict(zip(("z", "a"), labels, strict=True)),
        {"z": sparse(), "a": sparse()},
        distillation_losses=KD(),
    )
    theirs, ours = (
        [
            -log_softmax(z.astype("float64"), -1)[range(32), y].mean()
            for z, y in zip(model.predict(X, verbose=0), labels, strict=True)
        ]
        for model in models
    )
    close(logs["student_loss"], sum(ours))
    close(logs["gap"], (sum(ours) - sum(theirs)) / 2)
