"""OKD: the modules of a teacher learn, and nothing else of it."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, copies, crossentropy, mlp
from keras import ops
from texts import SENTENCES, gpt2

import keras_dts
from keras_dts.losses import KD

RNG = np.random.default_rng(0)
IDS = RNG.integers(3, 200, (16, 7)).astype("int32")
X = {
    "token_ids": IDS[:, :6],
    "padding_mask": np.arange(6) < RNG.integers(3, 7, (16, 1)),
}
Y, WEIGHTS = IDS[:, 1:], X["padding_mask"].astype("float32")


def make(weight=1.0, rate=0.01, optimizer="adam", **options):
    keras.utils.set_random_seed(3)  # the first factors are random
    teacher = keras_dts.OnlineTeacher(
        gpt2(16, seed=1),
        rank=2,
        weight=weight,
        rate=rate,
        optimizer=optimizer,
    )
    distiller = keras_dts.Distiller(
        teacher, gpt2(seed=2), KD(1.0), chunk_size=None
    )
    distiller.compile(
        keras.optimizers.SGD(0.1),
        crossentropy(),
        jit_compile=BACKEND != "torch",
        **options,
    )
    return distiller


def fit(distiller, **options):
    given = {"sample_weight": WEIGHTS, "batch_size": 8, **options}
    return distiller.fit(X, Y, shuffle=False, verbose=0, **given)


def numpy(tensors):
    return [ops.convert_to_numpy(t) for t in tensors]


def log_softmax(logits):
    logits = ops.convert_to_numpy(logits).astype("float64")
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def loss_by_hand(teacher, student, weight):
    """The loss of the modules, written down."""
    own, theirs = log_softmax(teacher(X)), log_softmax(student(X))
    labelled = -np.take_along_axis(own, Y[..., None], -1)[..., 0]
    apart = (np.exp(theirs) * (theirs - own)).sum(-1)
    values = labelled + weight * apart
    return (values * WEIGHTS).sum() / WEIGHTS.sum()


def test_a_step_goes_down_the_gradient_that_is_written_down():
    distiller = make(weight=0.5, rate=0.1, optimizer="sgd")
    teacher = distiller.teacher
    # The second factors are 0 at first: there alone is a gradient.
    second = [v for v in teacher.modules if "lora_kernel_b" in v.path]
    variable = second[0]
    before = numpy([variable])[0]
    student = copies(distiller.student)
    fit(distiller, batch_size=16)
    after = numpy([variable])[0]
    distiller.student.set_weights(student)
    for v in teacher.modules:
        if "lora_kernel_b" in v.path:
            v.assign(ops.zeros_like(v.value))
    at = np.unravel_index(np.abs(after - before).argmax(), before.shape)
    values = []
    for step in (0.05, -0.05):
        moved = before.copy()
        moved[at] += step
        variable.assign(moved)
        values.append(loss_by_hand(teacher, distiller.student, 0.5))
    slope = (values[0] - values[1]) / 0.1
    assert (after - before)[at] == pytest.approx(-0.1 * slope, rel=1e-2)
    assert abs(slope) > 1e-4


def test_the_teacher_begins_as_it_was_and_its_modules_alone_move():
    base = gpt2(16, seed=1)
    distiller = make()
    teacher = distiller.teacher
    np.testing.assert_array_equal(*numpy([teacher(X), base(X)]))
    assert len(teacher.modules) == 4
    modules = {id(v) for v in teacher.modules}
    rest = [v for v in teacher.wrapped_task.variables if id(v) not in modules]
    before, first = numpy(rest), numpy(teacher.modules)
    fit(distiller, epochs=2)
    for old, new in zip(before, numpy(rest), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(first, numpy(teacher.modules), strict=True):
        assert np.abs(old - new).max() > 1e-4
    # The original is another model.
    np.testing.assert_array_equal(*numpy([gpt2(16, seed=1)(X), base(X)]))


def test_a_stopped_training_goes_on_as_an_unbroken_one(tmp_path):
    unbroken = make()
    fit(unbroken, epochs=3)
    stopped = make()
    fit(stopped, epochs=2)
    stopped.save_weights(tmp_path / "a.weights.h5")
    resumed = make()
    resumed.load_weights(tmp_path / "a.weights.h5")
    fit(resumed, epochs=3, initial_epoch=2)
    one, other = (
        [*copies(d.student), *numpy(d.teacher.learned)]
        for d in (unbroken, resumed)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.jax
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:`sample_weight` must be finite")
def test_a_broken_batch_moves_no_module():
    broken, good = make(on_fault="skip"), make()
    weights = WEIGHTS.copy()
    weights[3, 0] = np.nan
    run = fit(broken, sample_weight=weights)
    assert run.history["skipped_steps"] == [1]
    half = {name: values[8:] for name, values in X.items()}
    good.fit(half, Y[8:], sample_weight=WEIGHTS[8:], batch_size=8, verbose=0)
    for one, other in zip(
        numpy(broken.teacher.learned), numpy(good.teacher.learned), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:`compile:UserWarning")  # KerasHub's own
def test_strings_are_tokenized_as_for_the_teacher_itself(tmp_path):
    distiller = make()
    plain = keras_dts.Distiller(gpt2(16, seed=1), gpt2(seed=2), KD(1.0))
    plain.compile(keras.optimizers.SGD(0.1), crossentropy())
    logs = [
        model.fit(SENTENCES, batch_size=4, shuffle=False, verbose=0).history
        for model in (distiller, plain)
    ]
    # The first step is the same, and the others nearly.
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=0.05)
    assert sorted(logs[0]) == sorted(logs[1])
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    assert isinstance(loaded.teacher, keras_dts.OnlineTeacher)
    np.testing.assert_allclose(
        *numpy([loaded.teacher(X), distiller.teacher(X)]), atol=1e-5
    )


@pytest.mark.torch
def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`teacher` must be a causal language"):
        keras_dts.OnlineTeacher(mlp())
    for options, message in (
        ({"rank": 0}, "`rank` must be a whole number"),
        ({"weight": -1.0}, "`weight` must be"),
        ({"rate": 0.0}, "`rate` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            keras_dts.OnlineTeacher(gpt2(), **options)
    with pytest.raises(ValueError, match=r"`y` must be given.* learn from lab"):
        make().fit(X, batch_size=8, verbose=0)
    distiller = make()
    with pytest.raises(ValueError, match=r"`teacher` must not learn from lab"):
        keras_dts.OnPolicyDistiller(distiller.teacher, gpt2())
    cache = keras_dts.cache_teacher(
        distiller.teacher, X, tmp_path, batch_size=8, verbose=0
    )
    with pytest.raises(ValueError, match=r"OnlineTeacher.* must run in each"):
        distiller.fit(cache, verbose=0)
