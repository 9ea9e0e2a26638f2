"""MKD: temperatures that learn from a validation loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import BACKEND, copies, crossentropy, number
from keras import ops

import keras_dts
from keras_dts.temperatures import MetaTemperature

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(8, 5))
SHARE = 0.25


def examples(count):
    """Inputs, and labels drawn from a softmax of `TRUTH`."""
    x = RNG.normal(size=(count, 8)).astype("float32")
    noise = RNG.gumbel(size=(count, 5))
    return x, np.argmax(x @ TRUTH + noise, axis=-1).astype("int32")


TRAIN, VALIDATION = examples(512), examples(512)


def linear(kernel=None):
    model = keras.Sequential(
        [keras.Input((8,)), keras.layers.Dense(5, use_bias=False)]
    )
    if kernel is not None:
        model.set_weights([kernel])
    return model


def distiller(rate=0.1, share=SHARE, loss=crossentropy, **options):
    """A teacher whose logits are 3 times too large."""
    policy = MetaTemperature(
        **{"validation_data": VALIDATION, "batch_size": 64, **options}
    )
    keras.utils.set_random_seed(1)
    model = keras_dts.Distiller(
        linear(3 * TRUTH),
        linear(),
        student_loss_weight=share,
        temperature=policy,
    )
    model.compile(
        keras.optimizers.SGD(rate),
        loss and loss(),
        jit_compile=BACKEND != "torch",
    )
    return model


def fit(model, count=512, batch=64, **kwargs):
    x, y = (part[:count] for part in TRAIN)
    options = {"batch_size": batch, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(x, y, **options)


def logs_of(model):
    return ops.convert_to_numpy(model.temperature.logs).astype("float64")


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def validation_loss(logs, weights, model, rate):
    """That of the student after a step, in float64."""
    x, y = (part[:64] for part in TRAIN)
    t, s = np.exp(logs)
    p = np.exp(log_softmax(3 * x @ TRUTH / t))
    q = np.exp(log_softmax(x @ weights / s))
    hard = np.exp(log_softmax(x @ weights)) - np.eye(5)[y]
    slope = SHARE * hard + (1 - SHARE) * t * s * (q - p) / s
    after = weights - rate * x.T @ slope / len(x)
    held_x, held_y = (
        ops.convert_to_numpy(v)[:64] for v in model.temperature.held_out.data
    )
    log_probs = log_softmax(held_x.astype("float64") @ after)
    return -log_probs[np.arange(64), held_y].mean()


def test_the_gradient_is_that_of_the_validation_loss_after_a_step():
    rate = 0.5
    model = distiller(rate, optimizer="sgd", teacher=2.0, student=1.5)
    logs = logs_of(model)
    weights = copies(model.student)[0].astype("float64")
    exact = [
        (
            validation_loss(logs + step, weights, model, rate)
            - validation_loss(logs - step, weights, model, rate)
        )
        / 2e-5
        for step in 1e-5 * np.eye(2)
    ]
    fit(model, 64)
    moved = (logs - logs_of(model)) / model.temperature.rate
    np.testing.assert_allclose(moved, exact, rtol=1e-3)


@pytest.mark.parametrize("start", [1.0, 8.0])
def test_it_finds_by_how_much_the_teacher_is_too_sure(start):
    # The student follows sooner than the temperatures move.
    model = distiller(share=0.0, rate=3.0, batch_size=512, teacher=start)
    ratios = []

    def note(epoch, logs):
        t, s = np.exp(logs_of(model))
        ratios.append(t / s)

    callback = keras.callbacks.LambdaCallback(on_epoch_end=note)
    x, y = (np.concatenate([part] * 10) for part in TRAIN)
    model.fit(x, y, batch_size=256, epochs=15, verbose=0, callbacks=[callback])
    # A student that has learned all has the teacher's logits over the ratio.
    grid = np.linspace(1.5, 6.0, 91)
    held_x, held_y = VALIDATION
    log_probs = log_softmax(3 * (held_x @ TRUTH) / grid[:, None, None])
    losses = -log_probs[:, np.arange(512), held_y].mean(-1)
    best = grid[np.argmin(losses)]
    assert np.mean(ratios[-5:]) == pytest.approx(best, rel=0.05)


def test_one_temperature_for_both():
    model = distiller(teacher=3.0, student=None)
    (first,) = logs_of(model)
    fit(model, 64)
    pair = model.temperatures_of(TRAIN[0][:2])[0]
    assert pair.teacher == pair.student != pytest.approx(3.0)
    assert pair.scale == pytest.approx(pair.teacher**2, rel=1e-6)
    assert logs_of(model) != first


def test_a_meta_step_comes_every_so_often():
    model, seen = distiller(every=3), []
    first = tuple(logs_of(model))
    for _ in range(6):
        x, y = (part[:64] for part in TRAIN)
        model.train_on_batch(x, y)
        position = int(
            ops.convert_to_numpy(model.temperature.held_out.position)
        )
        seen.append((*logs_of(model), position))
    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert seen[3] == seen[4] == seen[5]
    assert seen[0][:2] != first
    assert (seen[0][2], seen[3][2]) == (64, 128)


def test_a_stopped_training_goes_on_as_an_unbroken_one(tmp_path):
    unbroken, stopped = distiller(), distiller()
    fit(unbroken, epochs=2)
    fit(stopped, epochs=1)
    stopped.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    fit(loaded, epochs=2, initial_epoch=1)
    np.testing.assert_allclose(logs_of(loaded), logs_of(unbroken), atol=1e-6)
    for ours, theirs in zip(
        copies(loaded.student), copies(unbroken.student), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.torch
def test_the_data_are_not_copied_in_each_step():
    model = distiller()
    held = {id(v) for v in model.temperature.held_out.data}
    copied = model._undoable._moved_by_a_step(after_the_loss=[])
    assert id(model.temperature.held_out.position) in map(id, copied)
    assert not held & set(map(id, copied))


def test_temperatures_stay_positive_at_any_rate():
    logits = np.zeros((1, 5), "float32")
    for sign, bound in ((1.0, 1e-3), (-1.0, 1e3)):
        policy = MetaTemperature(validation_data=VALIDATION, rate=50.0)
        policy._move(ops.convert_to_tensor([sign, sign]))
        assert number(policy(logits, logits).teacher) == pytest.approx(bound)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (VALIDATION[0], r"inputs and labels, `\(x, y\)`. Received: ndarray"),
        ((VALIDATION[0],), r"inputs and labels, .* Received: tuple of 1"),
        (1.5, r"must be arrays `\(x, y\)`, or batches .* Received: float"),
        ((VALIDATION[0], VALIDATION[1][:3]), r"as many labels.*\[512, 3\]"),
        ((np.array(["a", "b"]), np.zeros(2)), "arrays of numbers; strings"),
        (
            tf.data.Dataset.from_tensor_slices(VALIDATION).batch(8).repeat(),
            "batches of them that end",
        ),
    ],
)
def test_data_that_cannot_be_held(data, message):
    with pytest.raises(ValueError, match=message):
        MetaTemperature(validation_data=data)


def test_batches_are_joined():
    batches = tf.data.Dataset.from_tensor_slices(VALIDATION).batch(100)
    ours = MetaTemperature(validation_data=batches).held_out
    theirs = MetaTemperature(validation_data=VALIDATION).held_out
    for a, b in zip(ours.data, theirs.data, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        )
    x, y = (ops.convert_to_numpy(part) for part in ours.batch())
    rows = [np.argmax(np.all(VALIDATION[0] == row, axis=-1)) for row in x]
    np.testing.assert_array_equal(VALIDATION[1][rows], y)


def test_what_it_needs_of_a_training_is_named():
    with pytest.raises(ValueError, match="`loss` must be given to `compile`"):
        fit(distiller(loss=None, share=0.0), 64)
    data = VALIDATION[0], np.full(512, 5)
    with pytest.raises(ValueError, match=r"classes, 5\. Received: 5"):
        fit(distiller(validation_data=data), 64)
