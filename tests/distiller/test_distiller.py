"""What a distiller takes: models, labels, weights and data of all kinds."""

import keras
import numpy as np
import pytest
import scipy.special
from helpers import (
    BACKEND,
    blobs,
    copies,
    crossentropy,
    mlp,
    moved,
    number,
    randomize,
    tagger,
)
from keras import layers, ops
from keras.distillation import FeatureDistillation

from keras_dts import DTS, Distiller
from keras_dts.losses import KD

X, Y = blobs()


def step(distiller, x=X, y=Y, loss=None, lr=0.0, **kwargs):
    """Logs of one step, which by default changes nothing."""
    distiller.compile(keras.optimizers.SGD(lr), loss or crossentropy())
    logs = distiller.fit(
        x, y, batch_size=64, shuffle=False, verbose=0, **kwargs
    ).history
    return {name: values[0] for name, values in logs.items()}


def softened(model, x=X, temperature=1.0):
    return scipy.special.log_softmax(
        model.predict(x, verbose=0).astype("float64") / temperature, axis=-1
    )


def kl(teacher, student, temperature):
    p = softened(teacher, temperature=temperature)
    q = softened(student, temperature=temperature)
    return temperature**2 * np.mean((np.exp(p) * (p - q)).sum(-1))


def ce(model):
    return -np.mean(softened(model)[np.arange(64), Y])


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.7, 1.0])
def test_loss_is_the_weighted_sum_of_its_parts(weight):
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    logs = step(
        Distiller(
            teacher,
            student,
            [KD(), KD(2.0)],
            [0.5, 2.0],
            weight,
            temperature=3.0,
        )
    )
    taught = 0.5 * kl(teacher, student, 3.0) + 2.0 * kl(teacher, student, 2.0)
    assert logs["student_loss"] == pytest.approx(ce(student), rel=1e-5)
    assert logs["distillation_loss"] == pytest.approx(taught, rel=1e-5)
    assert logs["loss"] == pytest.approx(
        weight * ce(student) + (1 - weight) * taught, rel=1e-5
    )
    assert logs["gap"] == pytest.approx(ce(student) - ce(teacher), rel=1e-4)
    assert logs["temperature"] == pytest.approx(3.0)


def test_arguments_by_position_mean_what_keras_means_by_them():
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    ours = Distiller(teacher, student, KD(2.0), [0.5], 0.3, "mine")
    assert ours.name == "mine"
    assert ours.teacher is teacher
    assert ours.student is student
    assert ours.student_loss_weight == 0.3
    assert ours.distillation_loss_weights == [0.5]
    # The same numbers as Keras's own distiller, with its correct loss.
    theirs = keras.distillation.Distiller(
        mlp(16, seed=1),
        mlp(seed=2),
        [
            keras.distillation.LogitsDistillation(
                2.0, loss=keras.losses.KLDivergence()
            )
        ],
        [0.5],
        0.3,
    )
    theirs.compile(keras.optimizers.SGD(0.0), crossentropy())
    expected = theirs.fit(X, Y, batch_size=64, verbose=0).history["loss"][0]
    # Theirs weighs inside the sum of distillation losses, as ours does.
    assert step(ours)["loss"] == pytest.approx(expected, rel=1e-5)


def test_weights_may_be_schedules_of_the_step():
    ramp = keras.optimizers.schedules.PolynomialDecay(1.0, 4, 0.0)
    distiller = Distiller(
        mlp(16, seed=1), mlp(seed=2), KD(), student_loss_weight=ramp
    )
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    logs = distiller.fit(
        X, Y, batch_size=64, epochs=5, shuffle=False, verbose=0
    ).history
    ce_, kd = logs["student_loss"][0], logs["distillation_loss"][0]
    expected = [w * ce_ + (1 - w) * kd for w in (1.0, 0.75, 0.5, 0.25, 0.0)]
    np.testing.assert_allclose(logs["loss"], expected, rtol=1e-5)


# Outputs.


@pytest.mark.parametrize("ends", ["teacher", "student", "both"])
@pytest.mark.parametrize("how", ["dense", "activation", "layer", "nested"])
def test_models_that_end_in_a_softmax(ends, how):
    def probabilities(hidden, seed):
        logits = mlp(hidden, seed=seed)
        if how == "dense":
            return mlp(hidden, seed=seed, activation="softmax")
        if how == "activation":
            last = layers.Activation("softmax")
        elif how == "layer":
            last = layers.Softmax()
        else:
            inner = keras.Input((3,))
            last = keras.Model(inner, layers.Softmax()(inner))
        return keras.Model(logits.input, last(logits.output))

    make_t = probabilities if ends in ("teacher", "both") else mlp
    make_s = probabilities if ends in ("student", "both") else mlp
    teacher, student = make_t(16, seed=1), make_s(6, seed=2)
    loss = crossentropy()
    if ends != "teacher":
        loss = keras.losses.SparseCategoricalCrossentropy()
    logs = step(Distiller(teacher, student, temperature=3.0), loss=loss)
    expected = kl(mlp(16, seed=1), mlp(6, seed=2), 3.0)
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-4)
    assert logs["gap"] == pytest.approx(
        ce(mlp(6, seed=2)) - ce(mlp(16, seed=1)), rel=1e-4
    )


@keras.saving.register_keras_serializable(package="tests")
class Soft(keras.Model):
    """A subclassed model whose softmax nobody can see from outside."""

    def __init__(self, model, **kwargs):
        super().__init__(**kwargs)
        self.inner = model

    def call(self, x):
        return ops.softmax(self.inner(x))


def test_from_logits_says_what_cannot_be_recognised():
    expected = kl(mlp(16, seed=1), mlp(seed=2), 4.0)
    for said in ((False, "auto"), (False, True)):
        distiller = Distiller(
            Soft(mlp(16, seed=1)), mlp(seed=2), from_logits=said
        )
        logs = step(distiller)
        assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-4)
    # What nobody said is taken for logits, and held against the values.
    with pytest.raises(ValueError, match="`from_logits` must say"):
        step(Distiller(Soft(mlp(16, seed=1)), mlp(seed=2)))


@pytest.mark.parametrize("activation", [None, "sigmoid"])
def test_a_single_unit_is_one_of_two_classes(activation):
    teacher = mlp(16, 1, seed=1, activation=activation)
    student = mlp(6, 1, seed=2, activation=activation)
    y = (Y > 0).astype("float32")
    logs = step(
        Distiller(teacher, student, temperature=2.0),
        y=y,
        loss=keras.losses.BinaryCrossentropy(from_logits=activation is None),
    )
    z = [
        mlp(h, 1, seed=s).predict(X, verbose=0).astype("float64")
        for h, s in ((16, 1), (6, 2))
    ]
    log_p, log_q = (
        scipy.special.log_softmax(np.concatenate([0 * v, v], 1) / 2, axis=-1)
        for v in z
    )
    expected = 4 * np.mean((np.exp(log_p) * (log_p - log_q)).sum(-1))
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-4)
    losses = [np.mean(np.log1p(np.exp(v[:, 0])) - y * v[:, 0]) for v in z]
    assert logs["gap"] == pytest.approx(losses[1] - losses[0], rel=1e-3)


@pytest.mark.parametrize("shape", ["sparse", "column", "one_hot"])
def test_labels_of_each_shape_give_the_same_gap(shape):
    y = {
        "sparse": Y,
        "column": Y[:, None].astype("float32"),
        "one_hot": np.eye(3, dtype="float32")[Y],
    }[shape]
    loss = crossentropy()
    if shape == "one_hot":
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    logs = step(Distiller(mlp(16, seed=1), mlp(seed=2)), y=y, loss=loss)
    assert logs["gap"] == pytest.approx(
        ce(mlp(seed=2)) - ce(mlp(16, seed=1)), rel=1e-4
    )


def test_a_head_may_be_skipped_by_none():
    def model(hidden, seed):
        inputs = keras.Input((8,))
        x = layers.Dense(hidden)(inputs)
        outputs = {"cls": layers.Dense(3)(x), "box": layers.Dense(4)(x)}
        return randomize(keras.Model(inputs, outputs), seed)

    targets = {"cls": Y, "box": np.ones((64, 4), "float32")}
    values = []
    for losses in ({"cls": KD()}, {"cls": KD(), "box": None}):
        distiller = Distiller(model(16, 1), model(6, 2), losses)
        logs = step(
            distiller, y=targets, loss={"cls": crossentropy(), "box": "mse"}
        )
        values.append(logs["distillation_loss"])
    answers = [
        model(h, s).predict(X, verbose=0)["cls"] for h, s in ((16, 1), (6, 2))
    ]
    expected = number(KD(4.0).compute_loss(*answers))
    assert values == pytest.approx([expected, expected], rel=1e-5)


# Models.


class Net(keras.Model):
    """A subclassed model that is built by its first call."""

    def __init__(self, hidden):
        super().__init__()
        self.feat = layers.Dense(hidden, activation="relu", name="feat")
        self.out = layers.Dense(3, name="out")

    def call(self, x, training=None):
        return self.out(self.feat(x))


@pytest.mark.filterwarnings("ignore:The temperature is at the end of its sch")
@pytest.mark.filterwarnings("ignore:`teacher` must be trained, but 'net' was")
@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("feature", [True, False])
def test_subclassed_models(built, feature):
    teacher, student = Net(16), Net(6)
    if built:
        teacher(X[:2])
        student(X[:2])
    losses = [KD()]
    if feature:
        losses.append(FeatureDistillation("mse", "feat", "feat"))
    distiller = Distiller(teacher, student, losses)
    logs = step(distiller, lr=0.1, callbacks=[DTS()])
    assert logs["distillation_loss"] > 0
    before, taught = copies(student), copies(teacher)
    distiller.fit(X, Y, verbose=0)
    assert moved(student, before) > 1e-4
    assert moved(teacher, taught) == 0.0


def test_an_unbuilt_sequential_student():
    student = keras.Sequential([layers.Dense(6), layers.Dense(3)])
    losses = [KD(), FeatureDistillation("mse", "feat", "dense")]
    student.layers[0].name = "dense"
    distiller = Distiller(mlp(16, seed=1), student, losses)
    logs = step(distiller, lr=0.1)
    assert logs["distillation_loss"] > 0
    assert sum("projector" in w.path for w in distiller.trainable_weights) == 2


def test_batch_normalization_of_the_student_learns_and_the_teachers_does_not():
    def model(seed):
        inputs = keras.Input((8,))
        x = layers.BatchNormalization(name="norm", momentum=0.9)(inputs)
        return randomize(keras.Model(inputs, layers.Dense(3)(x)), seed)

    teacher, student = model(1), model(2)
    before = copies(teacher)
    step(Distiller(teacher, student))
    assert moved(teacher, before) == 0.0
    mean = student.get_layer("norm").get_weights()[2]
    np.testing.assert_allclose(mean, 0.1 * X.mean(axis=0), atol=1e-6)


def test_a_frozen_part_of_the_student_stays():
    student = mlp(seed=2)
    student.get_layer("feat").trainable = False
    frozen = copies(student.get_layer("feat"))
    before = copies(student)
    step(Distiller(mlp(16, seed=1), student), lr=0.1)
    assert moved(student, before) > 1e-4
    assert moved(student.get_layer("feat"), frozen) == 0.0


def test_dropout_of_the_teacher_is_off_and_of_the_student_on():
    def model(seed):
        inputs = keras.Input((8,))
        x = layers.Dropout(0.9, seed=3)(inputs)
        return randomize(keras.Model(inputs, layers.Dense(3)(x)), seed)

    plain = kl(model(1), model(2), 4.0)
    off = step(Distiller(model(1), mlp(seed=2)))["distillation_loss"]
    assert off == pytest.approx(kl(model(1), mlp(seed=2), 4.0), rel=1e-5)
    on = step(Distiller(model(1), model(2)))["distillation_loss"]
    assert on != pytest.approx(plain, rel=0.05)


# Tokens.


def tokens():
    rng = np.random.default_rng(0)
    x = rng.integers(1, 11, size=(8, 10))
    x[:, 7:] = 0
    return x, rng.integers(0, 5, size=(8, 10))


def test_sample_weights_of_tokens_are_masks_too():
    x, y = tokens()
    masked = step(Distiller(tagger(12, 1), tagger(4, 2)), x, y)
    weighted = step(
        Distiller(tagger(12, 1, mask=False), tagger(4, 2, mask=False)),
        x,
        y,
        sample_weight=(x != 0).astype("float32"),
    )
    for name in ("distillation_loss", "gap"):
        assert weighted[name] == pytest.approx(masked[name], rel=1e-5)
    answers = [m.predict(x, verbose=0) for m in (tagger(12, 1), tagger(4, 2))]
    expected = KD(4.0).compute_loss(*answers, mask=x != 0)
    assert masked["distillation_loss"] == pytest.approx(
        number(expected), rel=1e-5
    )


def test_features_of_padded_tokens_do_not_count():
    x, y = tokens()
    runs = []
    for pads in (0, 20):
        distiller = Distiller(
            tagger(4, 1),
            tagger(4, 2),
            FeatureDistillation("mse", "feat", "feat"),
        )
        wide = ((0, 0), (0, pads))
        logs = step(distiller, np.pad(x, wide), np.pad(y, wide))
        runs.append(logs["distillation_loss"])
    assert runs[1] == pytest.approx(runs[0], rel=1e-5)


def test_images_of_labels():
    def model(width, seed):
        inputs = keras.Input((6, 6, 2))
        x = layers.Conv2D(width, 3, padding="same")(inputs)
        return randomize(keras.Model(inputs, layers.Conv2D(4, 1)(x)), seed)

    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6, 6, 2)).astype("float32")
    y = rng.integers(0, 4, size=(4, 6, 6))
    logs = step(Distiller(model(8, 1), model(2, 2)), x, y)
    answers = [m.predict(x, verbose=0) for m in (model(8, 1), model(2, 2))]
    expected = KD(4.0).compute_loss(*answers)
    assert logs["distillation_loss"] == pytest.approx(
        number(expected), rel=1e-4
    )


# Features.


@keras.saving.register_keras_serializable(package="tests")
class Block(layers.Layer):
    """A layer, no model, that holds other layers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.Dense(units, name="inner_dense")

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return ops.tanh(self.inner(x))


@pytest.mark.parametrize("name", ["block/inner", "block/inner_dense"])
def test_features_inside_a_layer_that_is_no_model(name):
    def model(seed):
        inputs = keras.Input((8,))
        x = Block(4, name="block")(inputs)
        return randomize(keras.Model(inputs, layers.Dense(3)(x)), seed)

    loss = FeatureDistillation("mse", name, name)
    logs = step(Distiller(model(1), model(2), loss))
    (k1, b1), (k2, b2) = (
        model(s).get_layer("block").inner.get_weights() for s in (1, 2)
    )
    expected = np.mean((X @ k1 + b1 - X @ k2 - b2) ** 2)
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-5)


def test_recording_leaves_the_layers_as_they_were():
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    step(
        Distiller(teacher, student, FeatureDistillation("mse", "feat", "feat"))
    )
    for model in (teacher, student):
        assert "call" not in vars(model.get_layer("feat"))


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
def test_features_of_an_int8_teacher():
    teacher = mlp(16, seed=1)
    expected = np.maximum(
        X @ teacher.get_weights()[0] + teacher.get_weights()[1], 0
    )
    teacher.quantize("int8")
    student = mlp(16, seed=2)
    kernel, bias = student.get_layer("feat").get_weights()
    logs = step(
        Distiller(teacher, student, FeatureDistillation("mse", "feat", "feat"))
    )
    ours = np.maximum(X @ kernel + bias, 0)
    assert logs["distillation_loss"] == pytest.approx(
        np.mean((expected - ours) ** 2), rel=0.05
    )


# Data.


def batches():
    for start in range(0, 64, 16):
        yield X[start : start + 16], Y[start : start + 16]


class Data(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return list(batches())[index]


def test_each_kind_of_data_gives_the_same_run():
    import tensorflow as tf
    import torch

    arrays = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    pairs = torch.utils.data.TensorDataset(
        torch.from_numpy(X), torch.from_numpy(Y)
    )
    kinds = [
        {"x": X, "y": Y, "batch_size": 16, "shuffle": False},
        {"x": arrays, "shuffle": False},
        {"x": batches(), "steps_per_epoch": 4, "shuffle": False},
        {"x": Data(), "shuffle": False},
        {
            "x": torch.utils.data.DataLoader(pairs, batch_size=16),
            "shuffle": False,
        },
    ]
    losses = []
    for kind in kinds:
        distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
        distiller.compile(keras.optimizers.SGD(0.1), crossentropy())
        losses.append(distiller.fit(**kind, verbose=0).history["loss"][0])
    assert losses == pytest.approx([losses[0]] * len(kinds), rel=1e-5)


def test_validation_and_train_on_batch():
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
    distiller.compile(
        keras.optimizers.SGD(0.1), crossentropy(), metrics=["accuracy"]
    )
    logs = distiller.fit(
        X, Y, validation_data=(X, Y), batch_size=64, verbose=0
    ).history
    assert {"val_loss", "val_student_loss", "val_accuracy"} <= set(logs)
    assert "val_temperature" not in logs
    assert logs["val_loss"][0] == pytest.approx(ce(distiller.student), rel=1e-5)
    before = copies(distiller.student)
    on_batch = distiller.train_on_batch(X, Y, return_dict=True)
    assert on_batch["distillation_loss"] > 0
    assert moved(distiller.student, before) > 1e-4


@pytest.mark.parametrize("options", [{"steps_per_execution": 2}, {}])
def test_gradient_accumulation_and_several_steps_at_once(options):
    if BACKEND == "torch":
        options = {}  # Keras refuses several steps at once there
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
    before = copies(distiller.student)
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=4)
    distiller.compile(optimizer, crossentropy(), **options)
    distiller.fit(X, Y, batch_size=16, shuffle=False, verbose=0)
    whole = Distiller(mlp(16, seed=1), mlp(seed=2))
    step(whole, lr=0.1)
    assert moved(distiller.student, before) > 1e-4
    for one, two in zip(
        whole.student.get_weights(),
        distiller.student.get_weights(),
        strict=True,
    ):
        np.testing.assert_allclose(two, one, atol=1e-6)


def test_features_may_be_skipped_and_are_weighed_by_example():
    def model(hidden, seed):
        inputs = keras.Input((8,))
        x = layers.Dense(hidden)(inputs)
        outputs = [layers.Dense(3)(x), layers.Dense(hidden)(x)]
        return randomize(keras.Model(inputs, outputs), seed)

    loss = FeatureDistillation(["mse", None])
    weights = np.arange(64).astype("float32")
    logs = step(
        Distiller(model(16, 1), model(6, 2), loss),
        y=[Y, np.zeros((64, 6), "float32")],
        loss=[crossentropy(), "mse"],
        sample_weight=weights,
    )
    t, s = (model(h, i).predict(X, verbose=0)[0] for h, i in ((16, 1), (6, 2)))
    values = np.mean((t - s) ** 2, axis=-1)
    expected = np.sum(weights * values) / 63  # one weight is 0
    assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-5)
