"""Outputs that are values, beside outputs that are distributions."""

import keras
import numpy as np
import pytest
from helpers import randomize
from keras import layers
from scipy.special import rel_entr, softmax

from keras_dts import Distiller, cache_teacher
from keras_dts.losses import KD, Huber, MeanSquaredError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
KINDS = RNG.integers(0, 3, 32)
PLACES = RNG.normal(size=(32, 2)).astype("float32")
WEIGHTS = {
    "kind": RNG.uniform(0.5, 2.0, 32).astype("float32"),
    "place": RNG.uniform(0.5, 2.0, 32).astype("float32"),
}
WEIGHTS["kind"][:8] = 0
WEIGHTS["place"][4:16] = 0
LABELS = {"kind": KINDS, "place": PLACES}
LOSS = {
    "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "place": "mse",
}


def two_heads(width, seed, *, named=True, values=2):
    inputs = keras.Input((8,))
    hidden = layers.Dense(width)(inputs)
    # In another order than that of the alphabet.
    outputs = {
        "place": layers.Dense(values, name="place")(hidden),
        "kind": layers.Dense(3, name="kind")(hidden),
    }
    model = randomize(keras.Model(inputs, outputs), seed)
    return model if named else keras.Model(inputs, list(outputs.values()))


def logs_of(losses, *, named=True, y=LABELS, loss=LOSS, weights=None):
    """Returns what the first step logs."""
    models = two_heads(16, 1, named=named), two_heads(4, 2, named=named)
    distiller = Distiller(*models, losses, temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.0), loss)
    run = distiller.fit(
        X, y, sample_weight=weights, batch_size=32, shuffle=False, verbose=0
    )
    return {name: values[0] for name, values in run.history.items()}


def answers():
    """Returns both models' outputs in float64, by name."""
    return [
        {
            name: output.astype("float64")
            for name, output in model.predict(X, verbose=0).items()
        }
        for model in (two_heads(16, 1), two_heads(4, 2))
    ]


def mean(values, name, weights):
    if weights is None:
        return values.mean()
    weights = weights[name]
    return (values * weights).sum() / np.count_nonzero(weights)


def divergence(weights=None):
    p, q = (softmax(z["kind"] / 2.0, axis=-1) for z in answers())
    return mean(4.0 * rel_entr(p, q).sum(axis=-1), "kind", weights)


def apart(weights=None):
    theirs, ours = (z["place"] for z in answers())
    return mean(((theirs - ours) ** 2).mean(axis=-1), "place", weights)


@pytest.mark.parametrize(
    "loss",
    [
        MeanSquaredError(),
        keras.losses.MeanSquaredError(),
        "mse",
        "mean_squared_error",
    ],
    ids=["ours", "Keras's", "short", "long"],
)
def test_values_are_compared_beside_classes(loss):
    logs = logs_of({"kind": KD(), "place": loss})
    assert logs["distillation_loss"] == pytest.approx(
        divergence() + apart(), rel=1e-5
    )


def test_huber_is_linear_far_away():
    theirs, ours = (z["place"] for z in answers())
    far = np.abs(theirs - ours)
    assert far.min() < 0.5 < far.max()
    expected = np.where(far < 0.5, far**2 / 2, 0.5 * (far - 0.25)).mean()
    for loss in (Huber(0.5), keras.losses.Huber(0.5)):
        logs = logs_of({"place": loss})
        assert logs["distillation_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("named", [True, False])
def test_each_output_has_weights_of_its_own(named):
    losses = {"place": MeanSquaredError(), "kind": KD()}
    options = {"y": LABELS, "weights": WEIGHTS}
    if not named:
        losses = [list(losses.values())]
        options = {
            name: [given["place"], given["kind"]]
            for name, given in options.items()
        }
    logs = logs_of(losses, named=named, **options)
    assert logs["distillation_loss"] == pytest.approx(
        divergence(WEIGHTS) + apart(WEIGHTS), rel=1e-5
    )


def test_features_without_layers_have_the_weights_of_their_output():
    logs = logs_of(
        keras.distillation.FeatureDistillation({"kind": None, "place": "mse"}),
        weights=WEIGHTS,
    )
    assert logs["distillation_loss"] == pytest.approx(apart(WEIGHTS), rel=1e-5)


def test_entries_of_their_own_have_weights_of_their_own():
    models = two_heads(16, 1), two_heads(4, 2)
    distiller = Distiller(
        *models,
        [{"kind": KD()}, {"place": MeanSquaredError()}],
        [1.0, 0.25],
        temperature=2.0,
    )
    distiller.compile("sgd", LOSS)
    logs = distiller.train_on_batch(X, LABELS, return_dict=True)
    assert logs["distillation_loss"] == pytest.approx(
        divergence() + apart() / 4, rel=1e-5
    )


def test_the_gap_is_that_of_the_classes_alone():
    only_kinds = logs_of({"kind": KD()})
    both = logs_of({"kind": KD(), "place": MeanSquaredError()})
    assert both["gap"] == pytest.approx(only_kinds["gap"], rel=1e-6)
    values = logs_of({"place": MeanSquaredError()})
    assert not {"gap", "temperature"} & set(values)


def test_masked_steps_of_a_series_count_nowhere():
    series = X.reshape(4, 8, 8).copy()
    series[:, 5:] = 0.0

    def model(width, seed):
        inputs = keras.Input((None, 8))
        hidden = layers.Dense(width)(layers.Masking()(inputs))
        return randomize(keras.Model(inputs, layers.Dense(2)(hidden)), seed)

    distiller = Distiller(model(16, 1), model(4, 2), MeanSquaredError())
    distiller.compile("sgd", None)
    logs = distiller.train_on_batch(series, return_dict=True)
    theirs, ours = (
        m.predict(series, verbose=0)[:, :5] for m in (model(16, 1), model(4, 2))
    )
    assert logs["distillation_loss"] == pytest.approx(
        ((theirs - ours) ** 2).mean(), rel=1e-5
    )


def test_values_of_another_width_are_refused():
    message = (
        r"^`MeanSquaredError` compares values, .*Received: for output 1 shape "
        r"\(batch, 2\) from the teacher and \(batch, 1\) from the student"
    )
    with pytest.raises(ValueError, match=message):
        Distiller(
            two_heads(16, 1),
            two_heads(4, 2, values=1),
            {"place": MeanSquaredError()},
        )


@pytest.mark.parametrize("loss", ["mes", "binary_crossentropy", "kd", 3])
def test_what_compares_no_values_is_refused(loss):
    message = r"^`distillation_losses` must be a `DistillationLoss`.*Received: "
    with pytest.raises(ValueError, match=message):
        Distiller(two_heads(16, 1), two_heads(4, 2), {"place": loss})


def test_a_saved_distiller_has_its_losses_on_values(tmp_path):
    losses = {"kind": KD(), "place": Huber(2.5)}
    Distiller(two_heads(16, 1), two_heads(4, 2), losses).save(
        tmp_path / "run.keras"
    )
    loaded = keras.models.load_model(tmp_path / "run.keras")
    assert loaded.distillation_losses[0]["place"].delta == 2.5


def test_a_cache_has_values_too(tmp_path):
    losses = {"kind": KD(), "place": MeanSquaredError()}
    cache = cache_teacher(two_heads(16, 1), (X, LABELS), tmp_path / "all")
    distiller = Distiller(two_heads(16, 1), two_heads(4, 2), losses)
    distiller.compile(keras.optimizers.SGD(0.0), LOSS)
    logs = distiller.fit(cache, batch_size=32, verbose=0).history
    live = logs_of({"kind": KD(4.0), "place": MeanSquaredError()})
    assert logs["distillation_loss"][0] == pytest.approx(
        live["distillation_loss"], rel=1e-4
    )
    few = cache_teacher(
        two_heads(16, 1), (X, LABELS), tmp_path / "few", top_k=1
    )
    with pytest.raises(ValueError, match=r"`MeanSquaredError`"):
        distiller.fit(few, verbose=0)


def test_a_delta_that_is_not_positive():
    with pytest.raises(ValueError, match=r"^`delta` .*Received: delta=0"):
        Huber(0.0)
