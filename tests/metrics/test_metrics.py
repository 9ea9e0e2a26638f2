"""Metrics of how closely the student follows its teacher."""

import contextlib

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats
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
    two_replicas,
)
from keras import layers, ops
from keras.distillation import FeatureDistillation

from keras_dts import Distiller
from keras_dts.losses import KD
from keras_dts.metrics import TeacherAgreement, TeacherKL

X, Y = blobs()


def both():
    return [TeacherAgreement(), TeacherKL()]


def agreement(teacher, student):
    return teacher.argmax(-1) == student.argmax(-1)


def divergence(teacher, student):
    p, q = (scipy.special.softmax(z, axis=-1) for z in (teacher, student))
    return scipy.stats.entropy(p, q, axis=-1)


def compiled(*args, metrics=None, loss=None, **kwargs):
    distiller = Distiller(*(args or (mlp(16, seed=1), mlp(seed=2))), **kwargs)
    distiller.compile(
        keras.optimizers.SGD(0.05),
        loss or crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=both() if metrics is None else metrics,
        jit_compile=BACKEND != "torch",
    )
    return distiller


@pytest.mark.parametrize(
    ("kind", "by_hand"),
    [(TeacherAgreement, agreement), (TeacherKL, divergence)],
)
def test_values_by_scipy(kind, by_hand):
    rng = np.random.default_rng(0)
    metric, values, weights = kind(), [], []
    for size in (3, 5):
        teacher, student = rng.normal(size=(2, size, 4, 7)).astype("float32")
        weight = rng.integers(0, 3, (size, 4)).astype("float32")
        # What does not count may be anything.
        student[weight == 0] = np.nan
        metric.update_state(teacher, student, sample_weight=weight)
        values.append(by_hand(teacher, np.nan_to_num(student)).ravel())
        weights.append(weight.ravel())
    expected = np.average(
        np.concatenate(values), weights=np.concatenate(weights)
    )
    assert number(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    zeros = np.zeros((2, 3), "float32")
    metric.update_state(zeros, zeros + 1, sample_weight=np.zeros(2))
    assert number(metric.result()) == 0.0


def test_extreme_and_bfloat16_logits():
    far = np.array([[1e4, -1e4]], "float32")
    assert number(TeacherKL()(far, -far)) == pytest.approx(2e4)
    assert number(TeacherAgreement()(far, -far)) == 0.0
    rng = np.random.default_rng(0)
    half = [ops.cast(4 * rng.normal(size=(50, 9)), "bfloat16") for _ in "ts"]
    theirs, ours = (ops.convert_to_numpy(ops.cast(z, "float32")) for z in half)
    # In bfloat16 itself it would be wrong in the third digit.
    assert number(TeacherKL()(*half)) == pytest.approx(
        divergence(theirs, ours).mean(), rel=1e-5
    )


def test_a_token_counts_the_same_in_short_and_in_long_rows():
    rng = np.random.default_rng(0)
    metric, values = TeacherKL(), []
    for length in (1, 8):
        teacher, student = rng.normal(size=(2, 2, length, 4))
        metric.update_state(teacher, student)
        values.append(divergence(teacher, student).ravel())
    expected = np.concatenate(values).mean()
    assert number(metric.result()) == pytest.approx(expected, rel=1e-5)


def test_weights_of_rows_count_for_their_tokens():
    teacher, student = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    rows = np.array([2.0, 0.0, 1.0])
    expected = np.average(divergence(teacher, student).mean(axis=1), None, rows)
    assert number(
        TeacherKL()(teacher, student, sample_weight=rows)
    ) == pytest.approx(expected, rel=1e-5)


def test_a_single_unit_is_the_positive_class_of_two():
    single = np.random.default_rng(0).normal(size=(2, 9, 1))
    theirs, ours = np.concatenate([0 * single, single], axis=-1)
    for metric, by_hand in zip(both(), (agreement, divergence), strict=True):
        expected = by_hand(theirs, ours).mean()
        assert 0 < expected < 1
        assert number(metric(*single)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("kind", [TeacherAgreement, TeacherKL])
def test_configuration(kind):
    config = keras.saving.serialize_keras_object(kind("mine", "float16"))
    assert config["registered_name"] == f"keras_dts>{kind.__name__}"
    metric = keras.saving.deserialize_keras_object(config)
    assert type(metric) is kind
    assert (metric.name, metric.dtype) == ("mine", "float16")


def test_evaluate_is_what_predict_says():
    distiller = compiled()
    teacher, student = distiller.teacher, distiller.student
    weights = np.arange(64).astype("float32") % 3
    before = copies(teacher), copies(student)
    logs = distiller.evaluate(
        X, Y, batch_size=24, sample_weight=weights, verbose=0, return_dict=True
    )
    theirs, ours = (m.predict(X, verbose=0) for m in (teacher, student))
    for name, by_hand in (
        ("teacher_agreement", agreement),
        ("teacher_kl", divergence),
    ):
        expected = np.average(by_hand(theirs, ours), weights=weights)
        assert logs[name] == pytest.approx(expected, rel=1e-5)
    assert set(logs) == {
        "loss",
        "student_loss",
        "accuracy",
        "teacher_agreement",
        "teacher_kl",
    }
    alone = compiled(teacher, student, metrics=[]).evaluate(
        X, Y, batch_size=24, sample_weight=weights, verbose=0, return_dict=True
    )
    for name, value in alone.items():
        assert logs[name] == pytest.approx(value, rel=1e-6)
    assert moved(teacher, before[0]) == moved(student, before[1]) == 0.0


SEEN: list = []


class Spy(layers.Layer):
    """Notes the training flag of each call."""

    def call(self, x, training=None):
        SEEN.append(training)
        return x


@pytest.mark.parametrize("asked", [False, True])
def test_the_teacher_runs_once_and_in_evaluate_for_metrics_only(asked):
    inputs = keras.Input((8,))
    x = layers.BatchNormalization()(Spy()(inputs))
    outputs = layers.Dense(3)(layers.Dropout(0.5, seed=1)(x))
    teacher = randomize(keras.Model(inputs, outputs), 1)
    distiller = Distiller(teacher, mlp(seed=2))
    distiller.compile(
        "sgd",
        crossentropy(),
        distillation_metrics=both() if asked else None,
        run_eagerly=True,
    )
    distiller.fit(X, Y, batch_size=64, verbose=0)
    before = copies(teacher)
    for run, count in (
        (lambda: distiller.train_on_batch(X, Y), 1),
        (lambda: distiller.fit(X, Y, batch_size=64, verbose=0), 1),
        (lambda: distiller.evaluate(X, Y, batch_size=64, verbose=0), asked),
        (lambda: distiller.test_on_batch(X, Y), asked),
        (lambda: distiller.predict(X, verbose=0), 0),
    ):
        SEEN.clear()
        run()
        assert SEEN.count(False) == len(SEEN) == count
    assert moved(teacher, before) == 0.0


def test_fit_logs_them_and_validation_too():
    distiller = compiled()
    assert [m.name for m in distiller.metrics].count("teacher_kl") == 1
    history = distiller.fit(
        X, Y, epochs=30, validation_data=(X, Y), verbose=0
    ).history
    for name in ("teacher_agreement", "teacher_kl"):
        assert len(history[name]) == len(history[f"val_{name}"]) == 30
    # The student comes closer, and validation sees it after the epoch.
    assert history["teacher_kl"][-1] < 0.5 * history["teacher_kl"][0]
    assert history["val_teacher_kl"][0] < history["teacher_kl"][0]
    theirs, ours = (
        m.predict(X, verbose=0) for m in (distiller.teacher, distiller.student)
    )
    expected = divergence(theirs, ours).mean()
    assert history["val_teacher_kl"][-1] == pytest.approx(expected, rel=1e-4)


def whole(distiller, x=X, y=Y, **kwargs):
    """The metrics of one epoch and of an evaluation, the last batch short."""
    options = {"batch_size": 24, "verbose": 0, **kwargs}
    distiller.optimizer.learning_rate.assign(0.0)
    trained = distiller.fit(x, y, shuffle=False, **options).history
    evaluated = distiller.evaluate(x, y, return_dict=True, **options)
    return [
        logs[name]
        for logs in ({k: v[-1] for k, v in trained.items()}, evaluated)
        for name in ("teacher_agreement", "teacher_kl")
    ]


def by_hand(theirs, ours, weights=None):
    """What `whole` must return."""
    return 2 * [
        np.average(f(theirs, ours), weights=weights)
        for f in (agreement, divergence)
    ]


def test_fit_and_evaluate_are_what_predict_says():
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    theirs, ours = (m.predict(X, verbose=0) for m in (teacher, student))
    for options in ({}, {"temperature": 7.0}):
        distiller = compiled(teacher, student, **options)
        expected = by_hand(theirs, ours)
        assert whole(distiller) == pytest.approx(expected, rel=1e-5)
        weights = (np.arange(64) % 3).astype("float32")
        assert whole(distiller, sample_weight=weights) == pytest.approx(
            by_hand(theirs, ours, weights), rel=1e-5
        )


def test_compiled_equals_eager():
    results = []
    for options in ({"jit_compile": BACKEND != "torch"}, {"run_eagerly": True}):
        distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
        # As `keras.Model.compile` takes them by position.
        distiller.compile(
            keras.optimizers.SGD(0.1),
            crossentropy(),
            None,
            ["accuracy"],
            **options,
            distillation_metrics=both(),
        )
        history = distiller.fit(X, Y, epochs=3, shuffle=False, verbose=0)
        logs = distiller.evaluate(X, Y, return_dict=True, verbose=0)
        assert {"accuracy", "teacher_kl"} <= set(logs)
        results.append([*history.history["teacher_kl"], logs["teacher_kl"]])
    assert results[0] == pytest.approx(results[1], rel=1e-4)


def test_epochs_start_anew_and_the_variables_are_known():
    distiller = compiled()
    agreed, kl = distiller.metrics[-2:]
    known = [id(v) for v in distiller.metrics_variables]
    for variable in (*agreed.variables, *kl.variables):
        assert known.count(id(variable)) == 1
    distiller.fit(X, Y, epochs=3, verbose=0)
    assert number(agreed.count) == number(kl.count) == 64


def test_inputs_of_their_own_and_features_beside_logits():
    teacher, student = mlp(16, seed=1), mlp(seed=2)
    expected = by_hand(
        teacher.predict(X * 3, verbose=0),
        student.predict(X[:, ::-1], verbose=0),
    )
    distiller = compiled(
        teacher,
        student,
        distillation_losses=[FeatureDistillation("mse", "feat", "feat"), KD()],
        teacher_inputs=lambda x: x * 3,
        student_inputs=lambda x: ops.flip(x, axis=1),
    )
    assert whole(distiller) == pytest.approx(expected, rel=1e-5)


def test_ignored_classes_do_not_count():
    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 11, (48, 9)), rng.integers(0, 5, (48, 9))
    x[:, 6:] = 0
    y[::2, 1] = -1
    teacher, student = tagger(12, 1), tagger(4, 2)
    theirs, ours = (m.predict(x, verbose=0) for m in (teacher, student))
    distiller = compiled(teacher, student, loss=crossentropy(ignore_class=-1))
    expected = by_hand(theirs, ours, (x != 0) & (y != -1))
    assert whole(distiller, x, y) == pytest.approx(expected, rel=1e-5)


def test_metrics_of_the_users_own():
    distiller = compiled(
        metrics=[keras.metrics.RootMeanSquaredError(name="distance")]
    )
    theirs, ours = (
        m.predict(X, verbose=0) for m in (distiller.teacher, distiller.student)
    )
    logs = distiller.evaluate(X, Y, return_dict=True, verbose=0)
    assert logs["distance"] == pytest.approx(
        np.sqrt(np.mean((theirs - ours) ** 2)), rel=1e-5
    )


@pytest.mark.tensorflow
def test_replicas_measure_what_one_device_does():
    results = []
    for scope in (contextlib.nullcontext(), two_replicas().scope()):
        with scope:
            distiller = Distiller(mlp(16, seed=1), mlp(seed=2))
            distiller.compile(
                keras.optimizers.SGD(0.0),
                crossentropy(),
                distillation_metrics=both(),
            )
        results.append(whole(distiller, batch_size=32))
    assert results[1] == pytest.approx(results[0], rel=1e-5)


def test_the_first_step_is_measured_before_it_moves():
    distiller = compiled()
    theirs, ours = (
        m.predict(X, verbose=0) for m in (distiller.teacher, distiller.student)
    )
    logs = distiller.train_on_batch(X, Y, return_dict=True)
    expected = divergence(theirs, ours).mean()
    assert logs["teacher_kl"] == pytest.approx(expected, rel=1e-5)
    logs = distiller.test_on_batch(X, Y, return_dict=True)
    assert logs["teacher_kl"] < expected


def test_without_labels_and_with_softmax_models():
    teacher, student = (mlp(h, seed=h, activation="softmax") for h in (16, 6))
    distiller = Distiller(teacher, student)
    distiller.compile("sgd", loss=None, distillation_metrics=both())
    logs = distiller.evaluate(X, verbose=0, return_dict=True)
    p, q = (m.predict(X, verbose=0) for m in (teacher, student))
    expected = scipy.stats.entropy(p, q, axis=-1).mean()
    assert logs["teacher_kl"] == pytest.approx(expected, rel=1e-4)


def test_padding_does_not_count():
    rng = np.random.default_rng(0)
    x, y = rng.integers(1, 11, (8, 5)), rng.integers(0, 5, (8, 5))
    padded = [np.pad(a, ((0, 0), (0, 6))) for a in (x, y)]
    results = []
    for tokens, labels in ((x, y), padded):
        distiller = compiled(tagger(12, 1), tagger(4, 2))
        logs = distiller.evaluate(tokens, labels, verbose=0, return_dict=True)
        results.append([logs["teacher_kl"], logs["teacher_agreement"]])
    assert results[1] == pytest.approx(results[0], rel=1e-5)


def test_one_metric_for_the_outputs_that_are_distilled():
    def model(hidden, seed):
        inputs = keras.Input((8,))
        x = layers.Dense(hidden)(inputs)
        outputs = {k: layers.Dense(3)(x) for k in "abc"}
        model = keras.Model(inputs, outputs)
        rng = np.random.default_rng(seed)
        for weight in model.trainable_weights:
            weight.assign(rng.normal(size=weight.shape))
        return model

    teacher, student = model(16, 1), model(4, 2)
    distiller = Distiller(
        teacher, student, {"a": KD(), "b": None, "c": KD(2.0)}
    )
    distiller.compile(
        "sgd",
        {k: crossentropy() for k in "abc"},
        distillation_metrics=both(),
    )
    y = dict.fromkeys("abc", Y)
    logs = distiller.evaluate(X, y, verbose=0, return_dict=True)
    theirs, ours = (m.predict(X, verbose=0) for m in (teacher, student))
    expected = np.mean([divergence(theirs[k], ours[k]) for k in "ac"])
    assert logs["teacher_kl"] == pytest.approx(expected, rel=1e-5)


def test_a_saved_distiller_goes_on_logging_them(tmp_path):
    distiller = compiled()
    distiller.fit(X, Y, verbose=0)
    distiller.save(tmp_path / "run.keras")
    again = keras.models.load_model(tmp_path / "run.keras")
    logs = [
        d.fit(X, Y, shuffle=False, verbose=0).history
        for d in (distiller, again)
    ]
    assert set(logs[0]) == set(logs[1])
    for name in ("teacher_agreement", "teacher_kl"):
        assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-5)


def test_compiling_again_forgets_them():
    distiller = compiled()
    distiller.fit(X, Y, verbose=0)
    distiller.compile("sgd", crossentropy())
    assert "teacher_kl" not in distiller.fit(X, Y, verbose=0).history


def test_a_broken_teacher_is_not_measured():
    teacher = mlp(16, seed=1)
    distiller = compiled(teacher, mlp(seed=2))
    teacher.trainable_weights[-1].assign([np.nan, 0.0, 0.0])
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert np.isnan(logs["teacher_kl"])
    assert np.isfinite(logs["loss"])


def test_errors():
    message = r"`distillation_metrics` must be a list of `keras.met.*'accuracy'"
    with pytest.raises(ValueError, match=message):
        compiled(metrics=["accuracy"])
    with pytest.raises(ValueError, match=r"own.*: teacher_kl, teacher_kl"):
        compiled(metrics=[TeacherKL(), TeacherKL()])
    with pytest.raises(ValueError, match=r"names of their own.*Received: gap"):
        compiled(metrics=[TeacherKL(name="gap")])
    features = FeatureDistillation("mse", "feat", "feat")
    with pytest.raises(ValueError, match=r"`distillation_losses` must hold"):
        compiled(distillation_losses=features)
    zeros = np.zeros((2, 3))
    with pytest.raises(
        ValueError, match=r"`teacher_logits` and .*\(batch, 4\)"
    ):
        TeacherKL().update_state(zeros, np.zeros((2, 4)))
    with pytest.raises(ValueError, match="`sample_weight` must have one value"):
        TeacherKL().update_state(zeros, zeros, sample_weight=np.ones(5))
