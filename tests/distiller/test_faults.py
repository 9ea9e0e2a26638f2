"""Broken batches: they change nothing, and are told."""

import contextlib

import keras
import numpy as np
import pytest
from helpers import (
    arrays,
    assert_same,
    blobs,
    copies,
    crossentropy,
    mlp,
    moved,
    number,
    two_replicas,
)
from keras import ops
from methods import POLICIES

from keras_dts import Distiller
from keras_dts.backend import StoppedStepError
from keras_dts.distiller.faults import describe, raise_faults
from keras_dts.distiller.notes import CAUSES, FaultNotes
from keras_dts.losses import KD
from keras_dts.metrics import TeacherKL
from keras_dts.temperatures import DynamicTemperature

X, Y = blobs(examples=32)
BAD = np.where(np.arange(32) == 20, 9, Y).astype("int32")


def distiller(**kwargs):
    distiller = Distiller(mlp(16, seed=1, name="big"), mlp(seed=2))
    distiller.compile(keras.optimizers.SGD(0.1, **kwargs), crossentropy())
    distiller.make_train_function()
    return distiller


def fit(distiller, y=Y, x=X, batch_size=8, **kwargs):
    return distiller.fit(
        x, y, batch_size=batch_size, shuffle=False, verbose=0, **kwargs
    )


class Seen(keras.callbacks.Callback):
    """Writes down which function trains, before each step."""

    def __init__(self):
        super().__init__()
        self.functions = []

    def on_train_batch_begin(self, batch, logs=None):
        self.functions.append(self.model.train_function)


class Failing(keras.callbacks.Callback):
    def __init__(self, method):
        super().__init__()
        setattr(self, method, self.fail)

    def fail(self, *args, **kwargs):
        raise RuntimeError("stop here")


def test_the_first_two_steps_are_watched_and_no_other():
    model, seen = distiller(), Seen()
    train = model.train_function
    fit(model, callbacks=[seen])
    assert len(seen.functions) == 4
    assert [f is train for f in seen.functions] == [False, False, True, True]
    assert seen.functions[0] != seen.functions[1]
    assert model.train_function is train


@pytest.mark.parametrize("batch_size", [32, 16, 8])
def test_the_train_function_is_given_back_after_fit(batch_size):
    model = distiller()
    train = model.train_function
    for _ in range(2):
        fit(model, batch_size=batch_size)
        assert model.train_function is train


@pytest.mark.parametrize(
    "method", ["on_epoch_begin", "on_train_batch_begin", "on_train_batch_end"]
)
def test_the_train_function_is_given_back_after_an_error(method):
    model = distiller()
    train = model.train_function
    with pytest.raises(RuntimeError, match="stop here"):
        fit(model, callbacks=[Failing(method)])
    assert model.train_function is train
    fit(model)


# A broken batch changes nothing.


class Unless(keras.layers.Layer):
    """Returns its input, and NaN for examples that begin with 7."""

    def call(self, x, first):
        return ops.where(ops.equal(first, 7.0), float("nan"), x)


def fragile(width, seed):
    """A model that is not finite for some inputs, with state of each kind."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((8,))
    x = keras.layers.Dense(width, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GaussianNoise(0.1, seed=3)(x)
    x = keras.layers.Dense(3)(Unless()(x, inputs[:, :1]))
    return keras.Model(inputs, x)


def stateful(teacher=None, student=None, **kwargs):
    """A distiller whose step moves state of each kind."""
    model = Distiller(
        teacher or mlp(16, seed=1),
        student or fragile(8, seed=2),
        [KD(), KD(POLICIES["CTKD"]())],
        student_loss_weight=keras.optimizers.schedules.CosineDecay(0.5, 9),
        temperature=DynamicTemperature(),
    )
    model.compile(
        keras.optimizers.Adam(0.1, weight_decay=0.1),
        crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=[TeacherKL()],
        **{"on_fault": "skip", **kwargs},
    )
    return model


def with_value(array, place, value):
    changed = array.astype("float32")
    changed[place] = value
    return changed


# Six batches of 8 each, of which these are broken.
MANY_X, MANY_Y = blobs(examples=48)
BROKEN = {
    "inputs": with_value(MANY_X, (9, 3), np.nan),
    "student": with_value(MANY_X, (17, 0), 7.0),
    "weights": with_value(np.ones(48), 26, np.inf),
    "labels": with_value(MANY_Y, 38, 9.0),
}


def assert_only_good_batches_count(make, data, broken, messages):
    """Compares a training with one that never sees the broken batches."""
    kept = ~np.isin(np.arange(48) // 8, broken)
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model, good = make(), make()
    with pytest.warns(UserWarning, match=messages):
        run = model.fit(**data, **options)
    rest = {name: values[kept] for name, values in data.items()}
    expected = good.fit(**rest, **options)
    assert run.history.pop("skipped_steps") == [len(broken)]
    assert expected.history.pop("skipped_steps") == [0]
    assert run.history == expected.history
    for ours, theirs in zip(
        [*model.variables, *model.metrics_variables],
        [*good.variables, *good.metrics_variables],
        strict=True,
    ):
        if "counts" not in ours.path:
            assert_same(arrays([ours]), arrays([theirs]), rtol=0)
    steps = [number(m.optimizer.iterations) for m in (model, good)]
    assert steps == [6 - len(broken)] * 2


# PyTorch's own, which `pytest.warns` brings back.
@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_broken_batches_change_nothing():
    x = np.where(np.isnan(BROKEN["inputs"]), np.nan, BROKEN["student"])
    data = {"x": x, "y": BROKEN["labels"], "sample_weight": BROKEN["weights"]}
    messages = "(?s)`x` must.*`sample_weight` must.*in `y` must.*The loss of"
    assert_only_good_batches_count(stateful, data, [1, 2, 3, 4], messages)


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_a_teacher_that_breaks_changes_nothing():
    assert_only_good_batches_count(
        lambda: stateful(fragile(16, seed=1), mlp(seed=2)),
        {"x": BROKEN["student"], "y": MANY_Y},
        [2],
        "The logits of `teacher` must be finite.* 1 step of epoch 1 of 1",
    )


@pytest.mark.tensorflow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_batch_that_is_broken_in_one_replica_changes_nothing_in_any():
    def make():
        with two_replicas().scope():
            model = Distiller(mlp(16, seed=1), mlp(seed=2))
            model.compile("adam", crossentropy(), on_fault="skip")
        return model

    data = {"x": BROKEN["inputs"], "y": MANY_Y}
    assert_only_good_batches_count(make, data, [1], "`x` must be finite")


def test_an_epoch_without_a_good_step_is_an_error_where_others_are_skipped():
    model = stateful()
    before = copies(model.student)
    with pytest.raises(ValueError, match=r"`x` must be .* 4 steps of epoch 1"):
        fit(model, x=with_value(X, np.s_[::8, 3], np.nan))
    assert moved(model.student, before) == 0.0


class NaNAfter(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule of 0.1 that breaks after some steps."""

    def __init__(self, steps):
        self.steps = steps

    def __call__(self, step):
        return ops.where(ops.less(step, self.steps), 0.1, float("nan"))


SCHEDULES = {
    "The weights of losses and the temperature must be finite": [
        {"student_loss_weight": NaNAfter(2)},
        {"distillation_loss_weights": NaNAfter(2)},
        {"temperature": NaNAfter(2)},
    ],
    "The learning rate of `optimizer` must be finite": [{}],
}


@pytest.mark.parametrize(
    ("message", "arguments"),
    [(m, a) for m, cases in SCHEDULES.items() for a in cases],
)
def test_schedules_that_are_not_finite(message, arguments):
    model = Distiller(mlp(16, seed=1), mlp(seed=2), **arguments)
    rate = 0.1 if arguments else NaNAfter(2)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), crossentropy())
    # Of four steps two are good, and the third is where the schedule stays.
    with pytest.raises(ValueError, match=f"{message}.* 2 steps of epoch 1"):
        fit(model)
    assert number(model.optimizer.iterations) == 2
    assert all(np.isfinite(w).all() for w in copies(model.student))


def test_schedules_are_held_to_the_range_of_what_they_weigh():
    weight = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0, 1], [0.5, 1.5, -1.0]
    )
    model = Distiller(mlp(16, seed=1), mlp(seed=2), student_loss_weight=weight)
    model.compile(keras.optimizers.SGD(0.0), crossentropy())
    _, first, second = (
        model.train_on_batch(X, Y, return_dict=True) for _ in range(3)
    )
    assert float(first["loss"]) == pytest.approx(float(first["student_loss"]))
    assert float(second["loss"]) == float(second["distillation_loss"])


def test_a_student_whose_numbers_are_too_large_for_its_dtype():
    keras.config.set_dtype_policy("mixed_float16")
    student = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
    keras.config.set_dtype_policy("float32")
    student.set_weights([np.full((8, 3), 3e4), np.zeros(3)])
    model = Distiller(mlp(16, seed=1), student)
    model.compile("adam", crossentropy())
    before = copies(student)
    with pytest.raises(
        ValueError, match="The loss of `student` must be finite"
    ):
        fit(model, x=np.abs(X) * 10)
    assert moved(student, before) == 0.0
    # Loss scaling did not learn from it either.
    assert number(model.optimizer.dynamic_scale) == 2.0**15


def test_the_first_broken_step_is_told_before_the_next_one():
    model, seen = distiller(weight_decay=0.1), Seen()
    train, before = model.train_function, copies(model.student)
    with pytest.raises(ValueError, match=r"`y` must .* 1 step of epoch 1 of 3"):
        fit(model, with_value(Y, 3, 9), epochs=3, callbacks=[seen])
    assert len(seen.functions) == 2
    assert moved(model.student, before) == 0.0
    assert model.train_function is train
    # The notes are cleared when another training begins.
    fit(model)
    assert moved(model.student, before) > 0.0


def test_a_step_that_breaks_later_keeps_what_was_learned():
    model, seen = distiller(), Seen()
    before = copies(model.student)
    with pytest.raises(ValueError, match="in 1 step of epoch 1 of 2"):
        fit(model, BAD, epochs=2, callbacks=[seen])
    # The epoch goes on to its end.
    assert len(seen.functions) == 4
    assert number(model.optimizer.iterations) == 3
    assert moved(model.student, before) > 0.0


def test_the_message_names_each_cause():
    model = distiller()
    counts = np.zeros(len(CAUSES))
    assert describe(model, counts, "now") == []
    raise_faults(model, counts, "now")
    counts[CAUSES.index("labels")] = 2
    counts[CAUSES.index("teacher")] = 1
    assert describe(model, counts, "now") == [
        "The class indices in `y` must be at least 0 and less than the number "
        "of classes, 3. Soft labels must be finite, not negative, and add up "
        "to 1. A class index that means no label must be the `ignore_class` of "
        "the loss given to `compile`. Received: others, in 2 steps of now. "
        "Such a step changes nothing.",
        "The logits of `teacher` must be finite. Received: NaN or infinite "
        "logits from the teacher 'big', in 1 step of now. Such a step changes "
        "nothing.",
    ]
    with pytest.raises(ValueError, match="The class indices"):
        raise_faults(model, counts, "now")
    for cause, _ in enumerate(CAUSES):
        (message,) = describe(model, np.eye(len(CAUSES))[cause], "now")
        assert "Received: " in message


def test_of_several_causes_the_first_is_noted():
    notes = FaultNotes()
    true, false = (ops.convert_to_tensor(x) for x in (True, False))
    faults = {"loss": true, "labels": false, "teacher": true, "inputs": false}
    with contextlib.suppress(StoppedStepError):
        notes.note(faults)
    counts = ops.convert_to_numpy(notes.counts)
    assert counts.tolist() == [float(c == "teacher") for c in CAUSES]
    notes.note({"loss": false})
    assert ops.convert_to_numpy(notes.counts).sum() == 1.0
    notes.clear()
    assert ops.convert_to_numpy(notes.counts).sum() == 0.0


def test_bad_on_fault():
    message = r"`on_fault` must be one of 'raise', 'skip'. Received: .*'stop'"
    with pytest.raises(ValueError, match=message):
        Distiller(mlp(16), mlp()).compile("sgd", on_fault="stop")
