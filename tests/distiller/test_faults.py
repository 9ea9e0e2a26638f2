"""Broken batches: noted by the steps, raised by a callback."""

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, mlp, moved, number
from keras import ops

from keras_dts import Distiller
from keras_dts.distiller.faults import clear_faults, raise_faults

X, Y = blobs(examples=32)
BAD = np.where(np.arange(32) == 20, 9, Y).astype("int32")


def distiller(**kwargs):
    distiller = Distiller(mlp(16, seed=1, name="big"), mlp(seed=2))
    distiller.compile(keras.optimizers.SGD(0.1, **kwargs), crossentropy())
    distiller.make_train_function()
    return distiller


def fit(distiller, y=Y, batch_size=8, **kwargs):
    return distiller.fit(
        X, y, batch_size=batch_size, shuffle=False, verbose=0, **kwargs
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


def test_a_broken_first_step_is_undone():
    # Weights decay in a step that has a loss of 0, too.
    model = distiller(weight_decay=0.1)
    train, before = model.train_function, copies(model.student)
    with pytest.raises(ValueError, match=r"`y` must be .* in epoch 1 of 3"):
        fit(model, np.where(np.arange(32) == 3, 9, Y), epochs=3)
    assert moved(model.student, before) == 0.0
    assert model.train_function is train
    # The notes are cleared when another training begins.
    fit(model)
    assert moved(model.student, before) > 0.0


def test_a_broken_only_step_is_undone():
    # Weights decay in a step that has a loss of 0, too.
    model = distiller(weight_decay=0.1)
    before = copies(model.student)
    with pytest.raises(ValueError, match="`y` must be"):
        fit(model, BAD, batch_size=32)
    assert moved(model.student, before) == 0.0


def test_a_step_that_breaks_later_keeps_what_was_learned():
    model, seen = distiller(), Seen()
    before = copies(model.student)
    with pytest.raises(ValueError, match="in epoch 1 of 2"):
        fit(model, BAD, epochs=2, callbacks=[seen])
    # The epoch goes on to its end.
    assert len(seen.functions) == 4
    assert number(model.optimizer.iterations) == 4
    assert moved(model.student, before) > 0.0
    good = distiller()
    kept = np.concatenate([np.arange(16), np.arange(24, 32)])
    good.fit(X[kept], Y[kept], batch_size=8, shuffle=False, verbose=0)
    # Of the broken batch, the student learned nothing.
    for ours, theirs in zip(
        copies(model.student), copies(good.student), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (
            [2.0, 0.0, 0.0],
            "The logits of `teacher` must be finite. Received: NaN or "
            "infinite logits from the teacher 'big' now. The student learned "
            "nothing from these batches.",
        ),
        (
            [0.0, 1.0, 0.0],
            "The class indices in `y` must be at least 0 and less than the "
            "number of classes, 3. Soft labels must be finite, not negative, "
            "and add up to 1. A class index that means no label must be the "
            "`ignore_class` of the loss given to `compile`. Received: others "
            "now. The student learned nothing from these batches.",
        ),
        (
            [1.0, 1.0, 0.0],
            "The logits of `teacher` must be finite. Received: NaN or "
            "infinite logits from the teacher 'big' now. The student learned "
            "nothing from these batches.",
        ),
        (
            [0.0, 0.0, 1.0],
            "`from_logits` must say of each model whether its outputs are "
            "logits. Received: rows that are not negative and add up to 1 "
            "from outputs taken for logits, or other rows from outputs taken "
            "for probabilities, now. The student learned nothing from these "
            "batches.",
        ),
    ],
)
def test_the_message_names_what_is_broken(faults, message):
    model = distiller()
    with pytest.raises(ValueError, match="Received") as caught:
        raise_faults(model, np.array(faults), "now")
    assert str(caught.value) == message
    raise_faults(model, np.zeros(3), "now")


def test_notes_are_cleared():
    model = distiller()
    model.objective.faults.assign([1.0, 2.0, 3.0])
    clear_faults(model)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model.objective.faults), [0.0, 0.0, 0.0]
    )
