"""SSD: features of stochastic passes, weighed by the student's."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, copies, crossentropy, mlp
from keras import layers, ops

import keras_dts
from keras_dts.features import StochasticPasses, input_of
from keras_dts.losses import StudentGuidedFeatures

X, Y = blobs(32)
RNG = np.random.default_rng(0)


def network(seed, rate=0.5, width=8, normalised=True, own_seed=None):
    keras.utils.set_random_seed(seed)
    parts = [
        keras.Input((8,)),
        layers.Dense(16, activation="relu"),
        layers.Dropout(rate, seed=own_seed, name="drop"),
        layers.BatchNormalization() if normalised else layers.Identity(),
        layers.Dense(width, name="feature"),
        layers.Dense(3, name="out"),
    ]
    return keras.Sequential(parts)


def numpy(tensor):
    return ops.convert_to_numpy(tensor).astype("float64")


def by_hand(teacher, student, sharpness, percentile):
    products = np.einsum("bpf,bf->bp", teacher, student) / sharpness
    alpha = np.exp(products - products.max(-1, keepdims=True))
    alpha /= alpha.sum(-1, keepdims=True)
    least = np.quantile(alpha, percentile / 100, axis=-1, keepdims=True)
    alpha = np.where(alpha >= least, alpha, 0.0)
    alpha /= alpha.sum(-1, keepdims=True)
    target = np.einsum("bp,bpf->bf", alpha, teacher)
    return alpha, ((student - target) ** 2).mean(-1)


@pytest.mark.parametrize(
    ("percentile", "kept"), [(90.0, 3), (0.0, 30), (100, 1)]
)
def test_the_loss_is_the_sum_written_down(percentile, kept):
    teacher = RNG.normal(size=(5, 30, 7)).astype("float32")
    student = RNG.normal(size=(5, 7)).astype("float32")
    loss = StudentGuidedFeatures(sharpness=2.0, percentile=percentile)
    alpha, expected = by_hand(teacher, student, 2.0, percentile)
    teacher, student = map(ops.convert_to_tensor, (teacher, student))
    values, counting = loss.values(teacher, student)
    np.testing.assert_allclose(numpy(values), expected, rtol=1e-5)
    np.testing.assert_allclose(
        numpy(counting), 1 / (alpha**2).sum(-1), rtol=1e-5
    )
    found = numpy(loss.weights(teacher, student))
    np.testing.assert_allclose(found, alpha, atol=1e-6)
    assert ((found > 0).sum(-1) == kept).all()


def run(model, step, passes=6, seed=0, dropout=None):
    runs = StochasticPasses(model, "feature", passes, dropout, seed)
    with keras.StatelessScope():
        return numpy(runs(X, ops.convert_to_tensor(step)))


@pytest.mark.parametrize("own_seed", [None, 3])
def test_masks_differ_by_pass_step_and_seed_and_are_the_same_again(own_seed):
    model = network(1, own_seed=own_seed)
    before = copies(model)
    first = run(model, 4)
    assert first.shape == (32, 6, 8)
    for a, b in ((0, 1), (2, 5)):
        assert np.abs(first[:, a] - first[:, b]).max() > 0.1
    np.testing.assert_array_equal(run(model, 4), first)
    assert np.abs(run(model, 5) - first).max() > 0.1
    assert np.abs(run(model, 4, seed=1) - first).max() > 0.1
    for now, then in zip(copies(model), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_what_is_no_chosen_dropout_runs_for_inference():
    model = network(1)
    model.get_layer("drop").rate = 1e-9
    (norm,) = (
        x for x in model.layers if isinstance(x, layers.BatchNormalization)
    )
    norm.moving_mean.assign(np.full(16, 0.3))
    inference = keras.Model(model.inputs, model.get_layer("feature").output)
    expected = inference.predict(X, verbose=0)
    found = run(model, 0)
    for index in range(6):
        np.testing.assert_allclose(found[:, index], expected, atol=1e-5)


def test_the_chosen_layers_alone_are_on():
    inputs = keras.Input((8,))
    x = layers.Dropout(0.5, name="early")(inputs)
    x = layers.Dense(8, name="feature")(x)
    x = layers.Dropout(0.5, name="late")(x)
    model = keras.Model(inputs, layers.Dense(3)(x))
    # What comes before the feature is off, so all passes are equal.
    for dropout in (["late"], lambda layer: layer.name == "late"):
        found = run(model, 0, dropout=dropout)
        assert np.abs(found - found[:, :1]).max() == 0.0
    assert np.abs(np.diff(run(model, 0, dropout=["early"]), axis=1)).max() > 0.1


class Rows(layers.Layer):
    """Notes the sizes of the batches that it sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, x):
        self.seen.append(x.shape[0])
        return x


def around_dropout(x):
    hidden = layers.Dense(16)(x)
    return hidden + layers.Dropout(0.5)(hidden)


def with_a_mask(x):
    tokens = layers.Reshape((4, 2))(x)
    return layers.LSTM(8)(layers.Dropout(0.5)(layers.Masking()(tokens)))


@pytest.mark.parametrize(
    ("part", "rows"),
    [(layers.Dropout(0.5), 4), (around_dropout, 24), (with_a_mask, 24)],
)
def test_what_comes_before_all_dropout_runs_once(part, rows):
    inputs = keras.Input((8,))
    before, after = Rows(), Rows()
    x = layers.Dense(3, name="feature")(after(part(before(inputs))))
    model = keras.Model(inputs, x)
    runs = StochasticPasses(model, "feature", 6, None, 0)
    before.seen.clear()
    x = RNG.normal(size=(4, 8)).astype("float32")
    with keras.StatelessScope():
        found = numpy(runs(x, 3))
        assert (before.seen, after.seen[-1]) == ([rows], 24)
        runs._early = True
        np.testing.assert_array_equal(numpy(runs(x, 3)), found)


def test_dropout_inside_of_other_layers_is_found():
    inputs = keras.Input((4, 8))
    x = layers.MultiHeadAttention(2, 4, dropout=0.5)(inputs, inputs)
    outputs = layers.Dense(3, name="feature")(layers.Flatten()(x))
    model = keras.Model(inputs, outputs)
    runs = StochasticPasses(model, "feature", 3, None, 0)
    with keras.StatelessScope():
        found = numpy(runs(RNG.normal(size=(2, 4, 8)), 0))
    assert np.abs(np.diff(found, axis=1)).max() > 1e-3


def distiller(student=None, **options):
    model = keras_dts.Distiller(
        network(1),
        student or network(2),
        [StudentGuidedFeatures(passes=8)],
        student_loss_weight=0.5,
    )
    model.compile(
        keras.optimizers.SGD(0.1),
        crossentropy(),
        jit_compile=BACKEND != "torch",
        **options,
    )
    return model


def fit(model, **kwargs):
    options = {"batch_size": 16, "shuffle": False, "verbose": 0, **kwargs}
    return model.fit(X, Y, **options).history


def test_a_step_logs_the_loss_and_how_many_passes_count():
    model = keras_dts.Distiller(
        network(1),
        network(2, rate=0.0, normalised=False),
        StudentGuidedFeatures(passes=8, sharpness=1.0, percentile=50.0),
    )
    model.compile(keras.optimizers.SGD(0.0), crossentropy())
    logs = fit(model, batch_size=32)
    passes = StochasticPasses(model.teacher, input_of("out"), 8, None, 0)
    student = keras.Model(
        model.student.inputs, model.student.get_layer("feature").output
    ).predict(X, verbose=0)
    with keras.StatelessScope():
        teacher = numpy(passes(X, ops.convert_to_tensor(0)))
    alpha, losses = by_hand(teacher, student.astype("float64"), 1.0, 50.0)
    assert logs["distillation_loss"][0] == pytest.approx(
        losses.mean(), rel=1e-4
    )
    counting = (1 / (alpha**2).sum(-1)).mean()
    assert logs["ssd_passes"][0] == pytest.approx(counting, rel=1e-4)


def test_passes_that_are_equally_near_share_the_weight():
    # Rounding takes the percentile of two equal weights above both.
    rows = np.sort(RNG.normal(size=(2_000, 8)), axis=-1)
    rows[:, -2] = rows[:, -1]
    loss = StudentGuidedFeatures(sharpness=1.0)
    teacher, student = rows[..., None], np.ones((2_000, 1))
    tensors = (ops.convert_to_tensor(x, "float32") for x in (teacher, student))
    alpha = numpy(loss.weights(*tensors))
    np.testing.assert_allclose(alpha, [[0.0] * 6 + [0.5] * 2] * 2_000)


def test_the_teacher_is_not_touched_and_the_student_follows():
    model = distiller(network(2, rate=0.0, normalised=False))
    before = copies(model.teacher)
    logs = fit(model, epochs=20)
    first, *_, last = logs["distillation_loss"]
    assert last < 0.9 * first
    for now, then in zip(copies(model.teacher), before, strict=True):
        np.testing.assert_array_equal(now, then)
    # Evaluation runs no teacher, and logs nothing of it.
    assert "ssd_passes" not in model.evaluate(X, Y, verbose=0, return_dict=True)


def test_a_stopped_training_goes_on_as_an_unbroken_one(tmp_path):
    def quiet():
        model = keras_dts.Distiller(
            network(1), mlp(8, seed=2), StudentGuidedFeatures(passes=4)
        )
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), crossentropy())
        return model

    unbroken, stopped = quiet(), quiet()
    fit(unbroken, epochs=2)
    fit(stopped, epochs=1)
    stopped.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    fit(loaded, epochs=2, initial_epoch=1)
    for ours, theirs in zip(
        copies(loaded.student), copies(unbroken.student), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": 1}, "`passes` must be at least 2. Received: passes=1"),
        ({"sharpness": 0.0}, "`sharpness` must be a finite number, greater"),
        ({"percentile": 101}, "`percentile` must be .* at most 100"),
    ],
)
def test_arguments_out_of_their_range(options, message):
    with pytest.raises(ValueError, match=message):
        StudentGuidedFeatures(**options)


@pytest.mark.torch
def test_what_cannot_be_is_refused(tmp_path):
    loss = StudentGuidedFeatures()
    with pytest.raises(ValueError, match="`teacher` must have a dropout layer"):
        keras_dts.Distiller(network(1, rate=0.0), network(2), loss)
    named = StudentGuidedFeatures(dropout=["feature"])
    with pytest.raises(ValueError, match="`dropout` must name dropout layers"):
        keras_dts.Distiller(network(1), network(2), named)
    with pytest.raises(ValueError, match=r"features of the same size.*8.*6"):
        keras_dts.Distiller(network(1), network(2, width=6), loss)
    model = distiller()
    cache = keras_dts.cache_teacher(
        model.teacher, (X, Y), tmp_path, verbose=False
    )
    with pytest.raises(ValueError, match="runs the teacher several times"):
        model.fit(cache)
