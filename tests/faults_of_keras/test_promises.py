"""What `keras.distillation` gets wrong or refuses, and this package does not.

Each test is a promise, and fails on `keras.distillation.Distiller` of Keras
3.15.1. The numbers are those of the list of faults that the project keeps.
"""

import keras
import numpy as np
import pytest
from helpers import (
    blobs,
    copies,
    crossentropy,
    mlp,
    moved,
    number,
    randomize,
    tagger,
    value_and_grad,
)
from keras import layers, ops
from keras.distillation import FeatureDistillation, LogitsDistillation

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.losses import KD

KL = keras.losses.KLDivergence
X, Y = blobs()


def distil(distiller, x=X, y=Y, epochs=1, lr=0.1, loss=True, **kwargs):
    distiller.compile(
        keras.optimizers.SGD(lr), crossentropy() if loss is True else loss
    )
    return distiller.fit(
        x, y, epochs=epochs, batch_size=64, shuffle=False, verbose=0, **kwargs
    ).history


def logged(losses=None, name="distillation_loss", x=X, **kwargs):
    """The value logged for one step that changes nothing."""
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2), losses, **kwargs)
    return distil(distiller, x=x, lr=0.0)[name][0]


# Wrong numbers.


def test_5_1_the_default_loss_is_a_kl_divergence():
    teacher = np.array([[2.0, 1.0, -1.0]], "float32")
    uniform = np.full((1, 3), 3.0, "float32")
    assert number(KD(3.0).compute_loss(teacher, teacher)) == pytest.approx(0)
    assert number(KD(3.0).compute_loss(teacher, uniform)) > 0.5
    # Keras's own class, with its default loss, means the same here.
    assert logged(LogitsDistillation(3.0)) == pytest.approx(
        logged(KD(3.0)), rel=1e-6
    )
    assert logged(LogitsDistillation(3.0, loss=KL())) == pytest.approx(
        logged(KD(3.0)), rel=1e-6
    )


def test_5_2_a_badly_wrong_student_still_has_a_gradient():
    for gap in (16.0, 17.0, 120.0):
        teacher = np.array([[gap, 0.0]], "float32")
        student = np.array([[0.0, gap]], "float32")
        value, grad = value_and_grad(
            lambda s, t=teacher: KD(1.0).compute_loss(t, s), student
        )
        assert value == pytest.approx(gap, rel=1e-6)
        np.testing.assert_allclose(grad, [[-1.0, 1.0]], atol=1e-6)


@pytest.mark.parametrize(
    "loss",
    [
        "categorical_crossentropy",
        keras.losses.CategoricalCrossentropy(from_logits=True),
    ],
)
def test_5_3_cross_entropy_compares_distributions(loss):
    def value(scale):
        teacher, student = mlp(seed=1), mlp(seed=1)
        kernel, bias = student.get_layer("out").get_weights()
        student.get_layer("out").set_weights([scale * kernel, scale * bias])
        distiller = Distiller(
            teacher, student, LogitsDistillation(4.0, loss=loss)
        )
        return distil(distiller, lr=0.0)["distillation_loss"][0]

    best = value(1.0)
    # The best student is the teacher: its loss is the teacher's entropy.
    logits = mlp(seed=1).predict(X, verbose=0) / 4
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    entropy = 16 * -(np.exp(log_p) * log_p).sum(-1).mean()
    assert best == pytest.approx(entropy, rel=1e-5)
    assert all(value(scale) > best for scale in (0.0, 0.5, 2.0, 100.0))


# 5.4, losses that several replicas add up, is a route in `equivalence`.


def test_5_5_sample_and_class_weights_count():
    def run(**kwargs):
        distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
        before = copies(distiller.student)
        logs = distil(distiller, **kwargs)
        return logs["distillation_loss"][0], moved(distiller.student, before)

    half = (np.arange(64) < 32).astype("float32")
    for weights in (
        {"sample_weight": np.zeros(64, "float32")},
        {"class_weight": {0: 0.0, 1: 0.0, 2: 0.0}},
    ):
        assert run(**weights) == (0.0, 0.0)
    expected, _ = run(x=X[:32], y=Y[:32])
    assert run(sample_weight=half)[0] == pytest.approx(expected, rel=1e-5)
    assert run(sample_weight=3 * half)[0] == pytest.approx(
        3 * expected, rel=1e-5
    )


def test_5_6_padding_does_not_count():
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, 11, size=(4, 12))
    labels = rng.integers(0, 5, size=(4, 12))
    runs = []
    for pads in (0, 12, 108):
        x = np.pad(tokens, ((0, 0), (0, pads)))
        # The labels at padded positions are none that a class has.
        y = np.pad(labels, ((0, 0), (0, pads)), constant_values=-100)
        distiller = Distiller(tagger(12, 1), tagger(4, 2))
        before = copies(distiller.student)
        logs = distil(distiller, x, y)
        runs.append(
            [
                logs["distillation_loss"][0],
                logs["student_loss"][0],
                logs["gap"][0],
                moved(distiller.student, before),
            ]
        )
    np.testing.assert_allclose(runs[1], runs[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(runs[2], runs[0], rtol=1e-5, atol=1e-6)


def test_5_7_regularizers_and_added_losses_count():
    def student():
        return mlp(seed=2, regularizer=keras.regularizers.L2(10.0))

    alone = student()
    alone.compile(keras.optimizers.SGD(0.0), crossentropy())
    expected = alone.fit(X, Y, batch_size=64, verbose=0).history["loss"][0]
    logs = distil(
        Distiller(mlp(16, seed=1), student(), student_loss_weight=1.0), lr=0.0
    )
    assert expected > 50
    assert logs["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert logs["student_loss"][0] == pytest.approx(expected, rel=1e-5)
    # A penalty counts whole, also where labels count nothing.
    kernel = student().get_layer("feat").get_weights()[0]
    logs = distil(
        Distiller(mlp(16, seed=1), student(), student_loss_weight=0.0), lr=0.0
    )
    penalty = logs["loss"][0] - logs["distillation_loss"][0]
    assert penalty == pytest.approx(10 * np.sum(kernel**2), rel=1e-5)


@keras.saving.register_keras_serializable(package="tests")
class Hundred(layers.Layer):
    def call(self, x):
        self.add_loss(ops.convert_to_tensor(100.0))
        return x


def test_5_7_added_losses_of_the_student_and_not_of_the_teacher_count():
    def model(hidden, seed, extra):
        inputs = keras.Input((8,))
        x = layers.Dense(hidden)(inputs)
        x = Hundred()(x) if extra else x
        return randomize(keras.Model(inputs, layers.Dense(3)(x)), seed)

    def loss(teacher, student):
        models = model(16, 1, teacher), model(6, 2, student)
        return distil(Distiller(*models), lr=0.0)["loss"][0]

    plain = loss(False, False)
    assert loss(False, True) == pytest.approx(plain + 100, rel=1e-5)
    assert loss(True, False) == pytest.approx(plain, rel=1e-6)


def test_5_8_the_logged_parts_add_up_with_an_uneven_last_batch():
    x = np.concatenate([X[:60], X[60:64] * 30])
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    logs = distiller.fit(x, Y, batch_size=60, shuffle=False, verbose=0).history
    loss, student, taught = (
        logs[k][0] for k in ("loss", "student_loss", "distillation_loss")
    )
    assert loss == pytest.approx(0.1 * student + 0.9 * taught, rel=1e-5)
    evaluated = distiller.evaluate(
        x, Y, batch_size=60, return_dict=True, verbose=0
    )
    alone = distiller.student
    alone.compile(loss=crossentropy())
    expected = alone.evaluate(x, Y, batch_size=60, verbose=0)
    assert evaluated["loss"] == pytest.approx(expected, rel=1e-5)


# Feature distillation.


@keras.saving.register_keras_serializable(package="tests")
class Spy(layers.Layer):
    """Notes the training flag of each call."""

    def call(self, x, training=None):
        SEEN.append(training)
        return x


SEEN: list = []


def spied(seed):
    inputs = keras.Input((8,))
    x = layers.Dense(6, name="feat")(inputs)
    x = layers.BatchNormalization(name="norm")(x)
    x = Spy()(x)
    x = layers.Dropout(0.5, seed=1)(x)
    return randomize(keras.Model(inputs, layers.Dense(3)(x)), seed)


def test_5_9_the_student_runs_once_in_a_step():
    student = spied(2)
    student.get_layer("norm").set_weights([np.ones(6)] * 2 + [np.zeros(6)] * 2)
    kernel, bias = student.get_layer("feat").get_weights()
    distiller = Distiller(
        mlp(16, seed=1), student, FeatureDistillation("mse", "out", "feat")
    )
    distiller.compile(
        keras.optimizers.SGD(0.0), crossentropy(), run_eagerly=True
    )
    SEEN.clear()
    distiller.fit(X, Y, batch_size=64, verbose=0)
    # Keras may run the student once more, without data, to build a metric.
    assert SEEN.count(True) == 1
    once = 0.01 * (X @ kernel + bias).mean(axis=0)
    mean = student.get_layer("norm").get_weights()[2]
    np.testing.assert_allclose(mean, once, atol=1e-6)


def test_5_10_evaluation_changes_nothing():
    distiller = Distiller(
        spied(1), spied(2), FeatureDistillation("mse", "feat", "feat")
    )
    distil(distiller)
    before = copies(distiller)
    SEEN.clear()
    first = distiller.evaluate(X, Y, return_dict=True, verbose=0)
    second = distiller.evaluate(X, Y, return_dict=True, verbose=0)
    assert True not in SEEN
    assert first == second
    assert moved(distiller, before) == 0.0


def nested(seed, width=6):
    base_inputs = keras.Input((8,))
    deep = layers.Dense(width, name="deep")(base_inputs)
    base = keras.Model(base_inputs, layers.ReLU()(deep), name="base")
    inputs = keras.Input((8,))
    outputs = layers.Dense(3)(base(inputs))
    return randomize(keras.Model(inputs, outputs), seed)


def test_5_11_features_of_layers_inside_nested_models():
    teacher, student = nested(1), nested(2)
    loss = FeatureDistillation("mse", "base/deep", "base/deep")
    logs = distil(Distiller(teacher, student, loss), lr=0.0)
    deep = [
        X @ kernel + bias
        for kernel, bias in (
            m.get_layer("base").get_layer("deep").get_weights()
            for m in (teacher, student)
        )
    ]
    expected = np.mean((deep[0] - deep[1]) ** 2)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)
    whole = FeatureDistillation("mse", "base", "base")
    logs = distil(Distiller(teacher, student, whole), lr=0.0)
    expected = np.mean((np.maximum(deep[0], 0) - np.maximum(deep[1], 0)) ** 2)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_5_12_unequal_widths_get_a_projector_that_trains():
    distiller = Distiller(
        mlp(16, seed=1),
        mlp(6, seed=2),
        FeatureDistillation("mae", "feat", "feat"),
    )
    paths = [w.path for w in distiller.trainable_weights]
    assert sum("projector" in path for path in paths) == 2
    kernel = distiller.trainable_weights[-2]
    assert tuple(kernel.shape) == (6, 16)
    before = ops.convert_to_numpy(kernel).copy()
    distil(distiller)
    assert np.abs(ops.convert_to_numpy(kernel) - before).max() > 1e-4


def test_5_12_other_shapes_do_not_broadcast():
    def model(width):
        inputs = keras.Input((8, 1))
        x = layers.Conv1D(4, 3, strides=width, name="feat")(inputs)
        x = layers.GlobalAveragePooling1D()(x)
        return keras.Model(inputs, layers.Dense(3)(x))

    message = r"`student_layer_name` and `teacher_layer_name` .*\(.*6, 4\)"
    with pytest.raises(ValueError, match=message):
        Distiller(
            model(1), model(2), FeatureDistillation("mse", "feat", "feat")
        )


def test_5_13_a_layer_name_for_one_model_only_is_an_error():
    message = r"needs both `teacher_layer_name` and .*Received: teacher_la"
    with pytest.raises(ValueError, match=message):
        Distiller(
            mlp(seed=1),
            mlp(seed=2),
            FeatureDistillation(student_layer_name="feat"),
        )


# Refused or broken uses.


def two_heads(hidden, seed, kind):
    inputs = keras.Input((8,))
    x = layers.Dense(hidden)(inputs)
    a, b = layers.Dense(3, name="a")(x), layers.Dense(2, name="b")(x)
    outputs = {"list": [a, b], "dict": {"a": a, "b": b}}[kind]
    return randomize(keras.Model(inputs, outputs), seed)


@pytest.mark.parametrize("kind", ["list", "dict"])
@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("ours", [True, False])
def test_5_14_models_with_several_outputs(kind, skip, ours):
    second = None if skip else (KD(2.0) if ours else KL())
    losses = [KD(2.0) if ours else KL(), second]
    targets = [Y, Y % 2]
    cross = [crossentropy(), crossentropy()]
    if kind == "dict":
        losses, targets, cross = (
            dict(zip("ab", pair, strict=True))
            for pair in (losses, targets, cross)
        )
    if not ours:
        losses = LogitsDistillation(2.0, loss=losses)
    elif kind == "list":
        losses = [losses]
    teacher, student = two_heads(8, 0, kind), two_heads(8, 1, kind)
    logs = distil(Distiller(teacher, student, losses), y=targets, loss=cross)
    answers = [
        keras.tree.flatten(m.predict(X, verbose=0))
        for m in (teacher, two_heads(8, 1, kind))
    ]
    each = [
        number(KD(2.0).compute_loss(t, s))
        for t, s in zip(*answers, strict=True)
    ]
    expected = each[0] if skip else sum(each)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)


def test_5_15_teacher_and_student_with_different_inputs():
    teacher = keras.Sequential(
        [keras.Input((6, 6, 1)), layers.Flatten(), layers.Dense(3)]
    )
    student = keras.Sequential(
        [
            keras.Input((3, 3, 1), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(32, 6, 6, 1), dtype="uint8")
    distiller = Distiller(
        randomize(teacher, 1),
        randomize(student, 2),
        teacher_inputs=lambda x: ops.cast(x, "float32") / 255,
        student_inputs=lambda x: x[:, ::2, ::2],
    )
    logs = distil(distiller, x, Y[:32], lr=0.0)
    expected = KD(4.0).compute_loss(
        teacher.predict(x / 255.0, verbose=0),
        student.predict(x[:, ::2, ::2], verbose=0),
    )
    assert logs["distillation_loss"][0] == pytest.approx(
        number(expected), rel=1e-4
    )


@pytest.mark.parametrize(
    ("teacher_dtype", "student_dtype"),
    [
        ("float32", "mixed_bfloat16"),
        ("float32", "mixed_float16"),
        ("mixed_bfloat16", "float32"),
        ("mixed_float16", "mixed_float16"),
    ],
)
def test_5_16_mixed_precision_pairs(teacher_dtype, student_dtype):
    keras.config.set_dtype_policy(teacher_dtype)
    teacher = mlp(16, seed=1)
    keras.config.set_dtype_policy(student_dtype)
    student = mlp(seed=2)
    keras.config.set_dtype_policy("float32")
    expected = logged()
    distiller = Distiller(teacher, student)
    before = copies(student)
    logs = distil(distiller)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=0.03)
    assert 0 < moved(student, before) < 1
    scaled = isinstance(
        distiller.optimizer, keras.optimizers.LossScaleOptimizer
    )
    assert scaled == (student_dtype == "mixed_float16")


# 5.17, a saved distiller that goes on, is another one.


class Documented(keras.distillation.DistillationLoss):
    """A loss as Keras documents it: `compute_loss` and nothing else."""

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return ops.mean(ops.square(teacher_outputs - student_outputs))


def test_5_17_a_custom_loss_is_saved(tmp_path):
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2), Documented())
    first = distil(distiller, lr=0.0)["distillation_loss"][0]
    teacher, student = (
        m.predict(X, verbose=0) for m in (mlp(16, seed=1), mlp(seed=2))
    )
    assert first == pytest.approx(np.mean((teacher - student) ** 2), rel=1e-5)
    distiller.save(tmp_path / "run.keras")
    with pytest.raises(ValueError, match="`custom_objects` must hold the"):
        keras.models.load_model(tmp_path / "run.keras")
    loaded = keras.models.load_model(
        tmp_path / "run.keras", custom_objects={"Documented": Documented}
    )
    again = loaded.fit(X, Y, batch_size=64, shuffle=False, verbose=0).history
    assert again["distillation_loss"][0] == pytest.approx(first, rel=1e-5)


def test_5_17_checkpoints_leave_the_teacher_out(tmp_path):
    distiller = Distiller(mlp(2000, seed=1), mlp(seed=2))
    distil(distiller)
    distiller.save_weights(tmp_path / "run.weights.h5")
    distiller.student.save_weights(tmp_path / "student.weights.h5")
    sizes = [
        (tmp_path / name).stat().st_size
        for name in ("run.weights.h5", "student.weights.h5")
    ]
    teacher = 4 * mlp(2000).count_params()
    assert sizes[0] < sizes[1] + teacher / 2


def test_5_18_a_changed_temperature_changes_the_loss():
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    distiller = Distiller(teacher, student, temperature=4.0)
    logs = distil(distiller, epochs=3, lr=0.0, callbacks=[DTS(5.0, 1.0, 5.0)])
    answers = [m.predict(X, verbose=0) for m in (teacher, student)]
    temperatures = logs["temperature"]
    assert len({round(t, 3) for t in temperatures}) == 3
    for temperature, loss in zip(
        temperatures, logs["distillation_loss"], strict=True
    ):
        expected = number(KD(temperature).compute_loss(*answers))
        assert loss == pytest.approx(expected, rel=1e-4)


def test_5_19_no_labels_are_needed():
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
    distiller.compile(
        keras.optimizers.SGD(0.1), loss=None, metrics=["accuracy"]
    )
    before = copies(distiller.student)
    logs = distiller.fit(
        X, batch_size=64, epochs=2, callbacks=[DTS()], verbose=0
    ).history
    assert moved(distiller.student, before) > 1e-4
    assert "gap" not in logs
    assert logs["loss"][0] == pytest.approx(
        0.9 * logs["distillation_loss"][0], rel=1e-5
    )
    # Labels for the metrics alone are welcome too.
    distiller.compile("sgd", loss=None, metrics=["accuracy"])
    logs = distiller.fit(X, Y, batch_size=64, verbose=0).history
    assert 0 <= logs["accuracy"][0] <= 1


# Surprises.


def test_5_20_the_weight_of_a_single_loss_counts():
    once = logged(KD())
    for weights in (7.0, [7.0]):
        value = logged(KD(), distillation_loss_weights=weights)
        assert value == pytest.approx(7 * once, rel=1e-5)


def test_5_21_compile_takes_what_keras_takes():
    def run(loss_weights):
        distiller = Distiller(two_heads(8, 0, "dict"), two_heads(8, 1, "dict"))
        distiller.compile(
            keras.optimizers.SGD(0.0),
            {"a": crossentropy(), "b": crossentropy()},
            loss_weights=loss_weights,
            metrics={"a": ["accuracy"]},
        )
        logs = distiller.fit(
            X, {"a": Y, "b": Y % 2}, batch_size=64, verbose=0
        ).history
        return {k: v[0] for k, v in logs.items()}

    one, two = run({"a": 1.0, "b": 1.0}), run({"a": 2.0, "b": 3.0})
    assert one["student_loss"] == pytest.approx(
        one["a_loss"] + one["b_loss"], rel=1e-5
    )
    assert two["student_loss"] == pytest.approx(
        2 * one["a_loss"] + 3 * one["b_loss"], rel=1e-5
    )
    assert "a_accuracy" in one


class PerExample(keras.distillation.DistillationLoss):
    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        return ops.sum(ops.abs(teacher_outputs - student_outputs), axis=-1)


def test_5_21_a_loss_may_return_one_value_per_example():
    weights = np.arange(64).astype("float32")
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2), PerExample())
    logs = distil(distiller, lr=0.0, sample_weight=weights)
    teacher, student = (
        m.predict(X, verbose=0) for m in (mlp(16, seed=1), mlp(seed=2))
    )
    values = np.abs(teacher - student).sum(-1)
    expected = (weights * values).sum() / 63  # one weight is 0
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"student_loss_weight": True}, "`student_loss_weight` must be a fin"),
        ({"student_loss_weight": -0.1}, "`student_loss_weight` .*at least 0"),
        ({"student_loss_weight": 1.1}, "`student_loss_weight` .*at most 1"),
        ({"distillation_losses": []}, "`distillation_losses` must hold at le"),
        (
            {"distillation_loss_weights": -1.0},
            "`distillation_loss_weights` must be a finite number, at least 0",
        ),
        (
            {"distillation_loss_weights": [1.0, 2.0]},
            "`distillation_loss_weights` must have one weight for each of the",
        ),
        ({"distillation_losses": "kd"}, "must be a `DistillationLoss`, such"),
    ],
)
def test_5_21_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(seed=1), mlp(seed=2), **arguments)


def test_5_22_the_trainable_flags_of_the_teacher_stay():
    teacher = spied(1)
    teacher.get_layer("feat").trainable = False
    flags = [layer.trainable for layer in teacher.layers]
    before = copies(teacher)
    distil(Distiller(teacher, mlp(seed=2)))
    assert teacher.trainable
    assert [layer.trainable for layer in teacher.layers] == flags
    assert moved(teacher, before) == 0.0


def test_5_22_a_layer_shared_with_the_student_trains():
    shared = layers.Dense(6, name="shared")
    inputs = keras.Input((8,))
    hidden = shared(inputs)
    teacher = keras.Model(inputs, layers.Dense(3)(hidden))
    student = keras.Model(inputs, layers.Dense(3)(hidden))
    before = copies(shared)
    distiller = Distiller(teacher, student)
    distil(distiller)
    assert shared.trainable
    assert moved(shared, before) > 1e-4


def test_5_22_a_teacher_that_is_the_student_is_an_error():
    model = mlp()
    with pytest.raises(ValueError, match="`teacher` and `student` must be two"):
        Distiller(model, model)


def test_5_23_the_optimizer_never_reaches_the_teacher():
    teacher = mlp(16, seed=1)
    distiller = Distiller(teacher, mlp(seed=2))
    distiller.trainable = True
    before = copies(teacher)
    distil(distiller, lr=1.0)
    assert moved(teacher, before) == 0.0


def test_5_25_evaluation_and_prediction_do_not_run_the_teacher():
    teacher = spied(1)
    distiller = Distiller(teacher, mlp(seed=2))
    distil(distiller)
    distiller.compile(
        keras.optimizers.SGD(0.1), crossentropy(), run_eagerly=True
    )
    SEEN.clear()
    logs = distiller.evaluate(X, Y, return_dict=True, verbose=0)
    distiller.predict(X, verbose=0)
    assert SEEN == []
    assert sorted(logs) == ["loss", "student_loss"]


def test_the_temperature_policy_is_the_distillers_own():
    policy = DynamicTemperature(3.0, 1.0, 3.0)
    distiller = Distiller(mlp(16, seed=1), mlp(seed=2), temperature=policy)
    logs = distil(distiller, epochs=3)  # `fit` adds the callback
    assert distiller.temperature is policy
    assert logs["temperature"][-1] < logs["temperature"][0] <= 3.0
