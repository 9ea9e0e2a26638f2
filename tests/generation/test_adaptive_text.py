"""Text of the student that is kept: when it is written, kept and read."""

import math

import keras
import numpy as np
import pytest
from helpers import BACKEND, copies, crossentropy, moved
from keras import ops
from texts import gpt2

import keras_dts
from keras_dts import generation

LENGTH = 6
ROWS = 3


def text_of(value):
    """Tokens, padding mask, labels and weights, all of one number."""
    return [
        ops.full((ROWS, LENGTH), value, dtype=dtype)
        for dtype in ("int32", "bool", "int32", "float32")
    ]


def built(**options):
    text = generation.AdaptiveText(length=LENGTH, **options)
    text.build_for(None)
    return text


def number(x):
    return float(ops.convert_to_numpy(x))


def choose(text, step, value, seed=5):
    """Chooses between the data, of 1, and a new text of a value."""
    chosen, own = text.choose(
        text_of(1),
        lambda: text_of(value),
        ops.convert_to_tensor(step, "int32"),
        seed,
    )
    return ops.convert_to_numpy(chosen[0]), bool(ops.convert_to_numpy(own))


def test_each_step_reads_what_the_rule_says():
    text = built(capacity=9, start=0.6)
    text.begin_epoch(0, 2, 12)
    kept, seen = [], set()
    for step in range(24):
        drawn = number(text.coin.draw(6, ops.convert_to_tensor(step)))
        new = drawn < 0.6 * (1 - step / 24) or len(kept) < 9
        ids, own = choose(text, step, value=100 + step)
        assert own == (drawn < 0.6)
        if not own:
            assert (ids == 1).all()
        elif new:
            assert (ids == 100 + step).all()
            kept = (kept + [100 + step] * ROWS)[-9:]
        else:
            assert set(ids[:, 0]) <= set(kept)
            assert (ids == ids[:, :1]).all()
        seen.add("data" if not own else "new" if new else "kept")
        rows = ops.convert_to_numpy(text.kept[0])[:, 0]
        assert sorted(rows[rows > 0]) == kept
    assert seen == {"data", "new", "kept"}
    assert len(kept) == 9
    weights = ops.convert_to_numpy(text.kept[3])
    assert (weights == rows[:, None]).all()


@pytest.mark.torch
def test_more_rows_than_places_keep_the_last():
    text = built(capacity=2, start=1.0)
    text.begin_epoch(0, 1, 4)
    for step in range(2):
        choose(text, step, value=7 + step)
    np.testing.assert_array_equal(text.kept[0], np.full((2, LENGTH), 8))


@pytest.mark.torch
@pytest.mark.parametrize(
    ("reference", "shares"),
    [
        # The first loss is the reference; 2.15, 2.25 and 2.4 are above it.
        (None, [0.0, 0.0, 0.0, 0.5, 0.5, 1.0, 1.0]),
        (1.9, [0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_the_share_grows_with_the_loss_of_validations(reference, shares):
    text = built(growth=0.5, reference=reference)
    found = []
    for loss in (2.0, 1.0, 2.05, 2.125, 2.2, 2.25, 3.0):
        text.validated(loss)
        found.append(number(text.now.value))
    assert found == pytest.approx(shares)
    assert not math.isinf(number(text.last.value))


PROMPTS = [[7, 8], [9, 10, 11, 12], [3], [20, 21, 22]]
DATA = {"prompts": PROMPTS, "responses": [[30, 31], [], [32] * 20, [33]]}


def made(**options):
    text = generation.AdaptiveText(**{"start": 0.7, "capacity": 6, **options})
    distiller = keras_dts.OnPolicyDistiller(
        gpt2(16, seed=1, length=8), gpt2(length=8), text=text, seed=2
    )
    distiller.compile(
        keras.optimizers.SGD(0.1),
        crossentropy(),
        jit_compile="auto" if BACKEND == "torch" else True,
    )
    return distiller


@pytest.mark.jax  # its state is handed from step to step
@pytest.mark.torch
def test_a_stopped_training_goes_on_with_what_was_kept(tmp_path):
    distiller = made()
    path = tmp_path / "kept.weights.h5"
    fit = {"epochs": 4, "batch_size": 2, "shuffle": False, "verbose": 0}
    expected = distiller.fit(DATA, validation_data=(DATA,), **fit).history
    stopped = made()
    save = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: (
            stopped.save_weights(path) if epoch == 1 else None
        )
    )
    stopped.fit(DATA, validation_data=(DATA,), callbacks=[save], **fit)
    assert number(stopped.text.written.value) > 4
    resumed = made()
    resumed.load_weights(path)
    run = resumed.fit(DATA, validation_data=(DATA,), initial_epoch=2, **fit)
    for name, values in run.history.items():
        assert values == pytest.approx(expected[name][2:], rel=1e-5), name
    assert moved(distiller.student, copies(resumed.student)) < 1e-6
    for one, other in zip(distiller.text.kept, resumed.text.kept, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (one, other)))


@pytest.mark.torch
def test_the_loss_of_a_validation_reaches_the_share():
    distiller = made(start=0.25, tolerance=0.0, growth=0.25, reference=0.0)
    distiller.fit(
        DATA, validation_data=(DATA,), batch_size=4, epochs=2, verbose=0
    )
    # The losses are above 0; the second may be above the first.
    assert number(distiller.text.now.value) in (0.5, 0.75)
    assert number(distiller.text.steps.value) == 2


@pytest.mark.torch
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": 1.5}, "`start` must be"),
        ({"capacity": 0}, "`capacity` must be a whole number"),
        ({"tolerance": -1}, "`tolerance` must be"),
        ({"growth": 2}, "`growth` must be"),
        ({"length": 0}, "`length` must be a whole number"),
    ],
)
def test_arguments_out_of_their_range(options, message):
    with pytest.raises(ValueError, match=message):
        generation.AdaptiveText(**options)


@pytest.mark.torch
def test_what_a_training_needs_is_asked_for_before_it():
    distiller = made()
    with pytest.raises(ValueError, match="`validation_data` must be given for"):
        distiller.fit(DATA, verbose=0)
    short = built()
    with pytest.raises(ValueError, match="`length` of `AdaptiveText` must be"):
        short.choose([ops.zeros((2, 9), "int32")], None, ops.zeros(()), 0)
