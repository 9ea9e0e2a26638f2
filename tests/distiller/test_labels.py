"""What labels and weights reach, and what stops for bad ones."""

import keras
import numpy as np
import pytest
from helpers import mlp
from keras import layers, ops
from scipy.special import log_softmax, rel_entr, softmax

from keras_dts import Distiller
from keras_dts.distiller.given_labels import known_labels
from keras_dts.losses import DKD, KD
from keras_dts.metrics import TeacherAgreement

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
CLASSES = RNG.integers(0, 3, 32)
SOME = np.where(np.arange(32) < 12, CLASSES, -1)
TEMPERATURE = 2.0


def sparse(**kwargs):
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, **kwargs
    )


def models():
    return mlp(16, seed=1), mlp(4, seed=2)


def logs_of(pair, y, loss, weights=None, x=X, **kwargs):
    """Returns what the first step logs."""
    kwargs.setdefault("temperature", TEMPERATURE)
    distiller = Distiller(*pair, **kwargs)
    distiller.compile(keras.optimizers.SGD(0.0), loss)
    run = distiller.fit(
        x, y, sample_weight=weights, batch_size=32, verbose=0, shuffle=False
    )
    return {name: values[0] for name, values in run.history.items()}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def outputs_of(pair, x=X):
    return [m.predict(x, verbose=0).astype("float64") for m in pair]


def softened(teacher, student):
    """Returns T² times the KL of each entry."""
    p, q = (softmax(z / TEMPERATURE, -1) for z in (teacher, student))
    return TEMPERATURE**2 * rel_entr(p, q).sum(axis=-1)


def entropies(logits, y):
    return -np.take_along_axis(log_softmax(logits, -1), y[..., None], -1)[
        ..., 0
    ]


def gap_of(teacher, student, y):
    return entropies(student, y).mean() - entropies(teacher, y).mean()


# Examples without a label.


def test_examples_without_a_label_are_taught_by_the_teacher():
    pair = models()
    teacher, student = outputs_of(pair)
    logs = logs_of(pair, SOME, sparse(ignore_class=-1))
    close(logs["distillation_loss"], softened(teacher, student).mean())
    part = (z[:12] for z in (teacher, student))
    close(logs["gap"], gap_of(*part, CLASSES[:12]))
    close(logs["student_loss"], entropies(student, CLASSES)[:12].mean())


def test_a_batch_without_any_label_is_taught_by_the_teacher():
    pair = models()
    logs = logs_of(pair, np.full(32, -1), sparse(ignore_class=-1))
    close(logs["distillation_loss"], softened(*outputs_of(pair)).mean())
    assert logs["gap"] == logs["student_loss"] == 0.0


@pytest.mark.parametrize("soft", [False, True])
def test_the_target_of_an_example_without_a_label_is_the_teachers(soft):
    pair = models()
    first = outputs_of(pair)[0].argmax(axis=-1)
    loss = DKD(temperature=TEMPERATURE)
    y, label_loss = SOME, sparse(ignore_class=-1)
    if soft:
        y = np.eye(3, dtype="float32")[CLASSES]
        y[12:] = 0
        label_loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    logs = logs_of(pair, y, label_loss, distillation_losses=loss)
    filled = np.where(SOME < 0, first, CLASSES)
    same = logs_of(pair, filled, sparse(), distillation_losses=loss)
    close(logs["distillation_loss"], same["distillation_loss"])


# Labels that the loss alone reads.


def frames(width, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((12, 6))
    hidden = layers.Dense(width, activation="relu")(inputs)
    return keras.Model(inputs, layers.Dense(5)(hidden))


@pytest.mark.parametrize("length", [4, 12])
def test_letters_of_ctc_are_left_to_its_loss(length):
    pair = frames(8, 1), frames(4, 2)
    x = RNG.normal(size=(8, 12, 6)).astype("float32")
    y = 1 + np.arange(8 * length).reshape(8, length) % 4
    logs = logs_of(pair, y.astype("int32"), keras.losses.CTC(), x=x)
    close(logs["distillation_loss"], softened(*outputs_of(pair, x)).mean())
    pair[1].compile(loss=keras.losses.CTC())
    close(logs["student_loss"], pair[1].evaluate(x, y, verbose=0))
    # Without classes there is no gap.
    assert "gap" not in logs


def test_an_evaluation_leaves_them_to_the_loss():
    distiller = Distiller(*models())
    distiller.compile("sgd", lambda y, z: ops.mean(z - y[:, :1], axis=-1))
    y = RNG.normal(size=(32, 7)).astype("float32")
    logs = distiller.evaluate(X, y, verbose=0, return_dict=True)
    student = distiller.student.predict(X, verbose=0)
    close(logs["student_loss"], (student - y[:, :1]).mean())


def test_a_loss_that_needs_classes_says_so():
    with pytest.raises(ValueError, match="`DKD` needs labels"):
        logs_of(
            models(),
            RNG.normal(size=(32, 7)),
            lambda y, z: ops.mean(z, axis=-1),
            distillation_losses=DKD(),
        )


def two_heads(width, seed):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((8,))
    hidden = layers.Dense(width, activation="relu")(inputs)
    heads = [layers.Dense(3, name=name)(hidden) for name in ("z", "a")]
    return keras.Model(inputs, heads)


@pytest.mark.parametrize("kind", ["one", "list", "dict"])
def test_an_output_without_labels_has_no_part_in_the_gap(kind):
    pair = two_heads(16, 1), two_heads(4, 2)
    y, loss = [CLASSES], [sparse(), None]
    if kind == "one":
        y = CLASSES
    elif kind == "dict":
        pair = [
            keras.Model(m.inputs, dict(zip("za", m.outputs, strict=True)))
            for m in pair
        ]
        y, loss = {"z": CLASSES}, {"z": sparse()}
    logs = logs_of(pair, y, loss, distillation_losses=KD())
    teacher, student = (
        m.predict(X, verbose=0)["z" if kind == "dict" else 0] for m in pair
    )
    close(logs["gap"], gap_of(teacher, student, CLASSES))
    close(logs["student_loss"], entropies(student, CLASSES).mean())


# Weights.

WEIGHTS = RNG.uniform(0.5, 2.0, 32).astype("float32")
WEIGHTS[:8] = 0


def test_weights_count_without_labels():
    pair = models()
    values = softened(*outputs_of(pair)) * WEIGHTS
    logs = logs_of(pair, None, None, WEIGHTS)
    close(logs["distillation_loss"], values.sum() / 24)
    assert "gap" not in logs


def test_weights_of_each_output_count_without_labels():
    pair = two_heads(16, 1), two_heads(4, 2)
    weights = [WEIGHTS, WEIGHTS[::-1].copy()]
    heads = zip(*(m.predict(X, verbose=0) for m in pair), weights, strict=True)
    logs = logs_of(pair, None, None, weights)
    expected = sum((softened(t, s) * w).sum() / 24 for t, s, w in heads)
    close(logs["distillation_loss"], expected)


def test_weights_count_without_labels_in_an_evaluation():
    distiller = Distiller(*models())
    distiller.compile("sgd", distillation_metrics=[TeacherAgreement()])
    teacher, student = outputs_of((distiller.teacher, distiller.student))
    same = teacher.argmax(axis=-1) == student.argmax(axis=-1)
    expected = (same * WEIGHTS).sum() / WEIGHTS.sum()
    assert 0 < expected < 1
    assert not np.isclose(same.mean(), expected)
    logs = distiller.evaluate(
        X, sample_weight=WEIGHTS, verbose=0, return_dict=True
    )
    close(logs["teacher_agreement"], expected)
    run = distiller.fit(X, validation_data=(X, None, WEIGHTS), verbose=0)
    after = distiller.evaluate(
        X, sample_weight=WEIGHTS, verbose=0, return_dict=True
    )
    close(run.history["val_teacher_agreement"], after["teacher_agreement"])


@pytest.mark.parametrize("shape", [(8, 1), (8, 1, 1), (8,)])
def test_weights_broadcast_over_tokens(shape):
    pair = frames(8, 1), frames(4, 2)
    x = RNG.normal(size=(8, 12, 6)).astype("float32")
    y = RNG.integers(0, 5, (8, 12))
    weights = np.array([0, 1, 2, 0.5, 1, 1, 0, 3], "float32")
    logs = logs_of(pair, y, sparse(), weights.reshape(shape), x=x)
    teacher, student = outputs_of(pair, x)

    def mean(values, weights=weights):
        return (values * weights[:, None]).sum() / (6 * 12)

    close(logs["distillation_loss"], mean(softened(teacher, student)))
    close(logs["student_loss"], mean(entropies(student, y)))
    gaps = entropies(student, y) - entropies(teacher, y)
    close(logs["gap"], mean(gaps, np.sign(weights)))


def test_weights_by_name_go_to_the_output_of_that_name():
    pair = two_heads(16, 1), two_heads(4, 2)
    y = {"z": CLASSES, "a": CLASSES[::-1].copy()}
    weights = {"z": WEIGHTS, "a": WEIGHTS[::-1].copy()}
    loss = {"z": sparse(), "a": sparse()}
    logs = logs_of(pair, y, loss, weights)
    heads = zip(
        *(m.predict(X, verbose=0) for m in pair), weights.values(), strict=True
    )
    expected = sum((softened(t, s) * w).sum() / 24 for t, s, w in heads)
    close(logs["distillation_loss"], expected)


def test_weights_that_fit_no_outputs_are_refused():
    weights = [WEIGHTS] * 3
    with pytest.raises(ValueError, match="Received: 3 for 2 outputs"):
        logs_of((two_heads(16, 1), two_heads(4, 2)), None, None, weights)


# Outputs in other structures.


def test_outputs_are_not_paired_by_order_alone():
    student = two_heads(4, 2)
    teacher = two_heads(16, 1)
    swapped = keras.Model(teacher.inputs, teacher.outputs[::-1])
    named = keras.Model(
        teacher.inputs, dict(zip("za", teacher.outputs, strict=True))
    )
    for other in (swapped, named):
        with pytest.raises(ValueError, match="outputs of the same names"):
            Distiller(other, student)
    reordered = keras.Model(student.inputs, student.outputs[::-1])
    Distiller(swapped, reordered)
    Distiller(named, reordered)


# Bad labels.


def bad(y, value):
    y = y.copy()
    y[3] = value
    return y


@pytest.mark.parametrize("value", [2.9, -0.5, np.nan, 2.0**32, 3.0])
def test_numbers_that_name_no_class_stop_the_training(value):
    pair = models()
    before = pair[1].get_weights()
    message = r"class indices in `y`.*Received: (nan|[-+.\de]+) at y\[3\]"
    with pytest.raises(ValueError, match=message):
        logs_of(pair, bad(CLASSES.astype("float32"), value), sparse())
    for now, then in zip(pair[1].get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize(
    "row", [[2, 0, 0], [-1, 1, 1], [np.nan, 1, 0], [np.inf, 0, 0], [0.2] * 3]
)
def test_soft_labels_that_are_no_distribution_stop_the_training(row):
    y = bad(np.eye(3, dtype="float32")[CLASSES], row)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match=r"add up to 1.*Received.* at y\[3\]"):
        logs_of(models(), y, loss)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_indices_of_64_bits_do_not_begin_again(method):
    distiller = Distiller(*models())
    distiller.compile("sgd", sparse())
    y = bad(CLASSES, 2**32)
    with pytest.raises(ValueError, match="Received: 4294967296"):
        getattr(distiller, method)(X, y)


def test_complex_labels_are_refused():
    with pytest.raises(ValueError, match=r"y\.dtype=complex64"):
        logs_of(models(), CLASSES.astype("complex64"), sparse())


def test_how_true_a_label_is_has_two_classes():
    y = bad(np.eye(3, dtype="float32")[CLASSES], 1.5)
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    with pytest.raises(ValueError, match=r"classes, 2\..*: 1\.5 at y\[3, 0\]"):
        logs_of(models(), y, loss)


def test_the_message_says_how_many_classes_each_output_has():
    pair = two_heads(16, 1), two_heads(4, 2)
    y = {"z": CLASSES, "a": bad(CLASSES, 3)}
    message = (
        r"3 of output 'z', 3 of output 'a'.*`ignore_class`.*Received: 3 at "
        r"y\[3\] for output 1,"
    )
    with pytest.raises(ValueError, match=message):
        logs_of(pair, y, {"z": sparse(), "a": sparse()})


def test_an_output_without_labels_beside_one_with_some():
    assert known_labels(None) is None
    assert known_labels([np.zeros((4, 0)), np.zeros((4, 0))]) is None
    some = [None, CLASSES]
    assert known_labels(some) is some
