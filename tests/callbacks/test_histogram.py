"""`TemperatureHistogram`: the temperatures of examples for TensorBoard."""

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp, randomize, tagger
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from tensorboard.util import tensor_util
from texts import LABELS, SENTENCES, bert

import keras_dts
from keras_dts import callbacks, losses

X, Y = blobs()


def distiller(temperature=4.0):
    model = keras_dts.Distiller(
        mlp(16, seed=1), mlp(seed=2), temperature=temperature
    )
    model.compile(keras.optimizers.SGD(0.125), crossentropy())
    return model


def fit(model, *given, **kwargs):
    options = {"epochs": 3, "verbose": 0, "batch_size": 16} | kwargs
    return model.fit(X, Y, callbacks=list(given), **options).history


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return {
        tag: [
            tensor_util.make_ndarray(event.tensor_proto)
            for event in events.Tensors(tag)
        ]
        for tag in events.Tags()["tensors"]
    }


def check_histogram(found, expected):
    """Checks buckets, each `(from, to, how many)`, against values."""
    assert found[:, 2].sum() == len(expected)
    assert found[0, 0] == pytest.approx(expected.min(), rel=1e-4)
    assert found[-1, 1] == pytest.approx(expected.max(), rel=1e-4)
    edges = np.append(found[:, 0], found[-1, 1])
    edges[[0, -1]] += [-1e-4, 1e-4]
    counts, _ = np.histogram(expected, edges)
    # Rounding may put a value on the other side of an edge.
    assert np.abs(counts - found[:, 2]).sum() <= 2


def standardized(logits):
    """The temperature of LSKD with base 2."""
    return 2.0 * np.std(logits, axis=-1, ddof=1)


def test_histograms_are_those_of_the_policy(tmp_path):
    model = distiller(keras_dts.temperatures.LogitStandardization(2.0))
    fit(model, callbacks.TemperatureHistogram(tmp_path, X, Y), epochs=2)
    found = read(tmp_path)
    assert set(found) == {"temperature/teacher", "temperature/student"}
    for role in ("teacher", "student"):
        first, last = found[f"temperature/{role}"]
        logits = getattr(model, role).predict(X, verbose=0)
        check_histogram(last, standardized(logits))
        same = np.allclose(first, last)
        assert same == (role == "teacher"), "the student has learned"


def test_one_temperature_for_all_examples_is_a_scalar(tmp_path):
    fit(distiller(3.0), callbacks.TemperatureHistogram(tmp_path, X), epochs=2)
    found = read(tmp_path)
    for values in found.values():
        np.testing.assert_allclose(np.ravel(values), [3.0, 3.0])


def test_tokens_without_weight_are_in_no_histogram(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(1, 11, (6, 5)).astype("int32")
    x[:3, 3:] = 0
    y = rng.integers(0, 5, (6, 5)).astype("int32")
    y[:, 1] = -1
    model = keras_dts.Distiller(
        tagger(8, seed=1),
        tagger(4, seed=2),
        temperature=keras_dts.temperatures.LogitStandardization(2.0),
    )
    model.compile("sgd", crossentropy(ignore_class=-1))
    histogram = callbacks.TemperatureHistogram(tmp_path, x, y)
    model.fit(x, y, callbacks=[histogram], verbose=0)
    counts = (x != 0) & (y != -1)
    for role in ("teacher", "student"):
        (found,) = read(tmp_path)[f"temperature/{role}"]
        logits = getattr(model, role).predict(x, verbose=0)
        check_histogram(found, standardized(logits)[counts])


def two_heads(width, seed):
    inputs = keras.Input((8,))
    x = keras.layers.Dense(width)(inputs)
    outputs = [keras.layers.Dense(3, name=name)(x) for name in ("a", "b")]
    return randomize(keras.Model(inputs, outputs), seed)


def test_each_output_has_its_histogram(tmp_path):
    policy = keras_dts.temperatures.LogitStandardization(2.0)
    model = keras_dts.Distiller(
        two_heads(8, seed=1),
        two_heads(4, seed=2),
        [[losses.KD(), losses.KD()]],
        temperature=policy,
    )
    model.compile("sgd", [crossentropy(), crossentropy()])
    histogram = callbacks.TemperatureHistogram(tmp_path, X)
    model.fit(X, [Y, Y], callbacks=[histogram], verbose=0)
    found = read(tmp_path)
    for role in ("teacher", "student"):
        outputs = getattr(model, role).predict(X, verbose=0)
        for name, logits in zip(("a", "b"), outputs, strict=True):
            (last,) = found[f"temperature/{role}/{name}"]
            check_histogram(last, standardized(logits))


def test_raw_strings_have_temperatures():
    model = keras_dts.Distiller(
        bert(16, seed=1),
        bert(),
        temperature=keras_dts.temperatures.LogitStandardization(2.0),
    )
    (found,) = model.temperatures_of(SENTENCES, LABELS)
    for role in ("teacher", "student"):
        logits = getattr(model, role).predict(SENTENCES)
        np.testing.assert_allclose(
            getattr(found, role), standardized(logits), rtol=1e-4
        )


def test_temperatures_of_a_batch_change_no_state():
    model = distiller(keras_dts.DynamicTemperature(8.0, 2.0, 8.0))
    fit(model, epochs=1)
    before = [np.array(v) for v in model.get_weights()]
    found = [model.temperatures_of(X, Y)[0] for _ in range(2)]
    now = float(keras.ops.convert_to_numpy(model.temperature.temperature))
    for temperatures in found:
        assert (
            temperatures.teacher == temperatures.student == pytest.approx(now)
        )
        assert temperatures.scale == pytest.approx(now**2)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_histograms_need_a_distiller_and_its_temperature(tmp_path):
    model = mlp()
    model.compile("sgd", crossentropy())
    histogram = callbacks.TemperatureHistogram(tmp_path, X)
    with pytest.raises(ValueError, match="shows the temperatures of a"):
        fit(model, histogram)
    model = keras_dts.Distiller(mlp(16, seed=1), mlp(seed=2), losses.KD(2.0))
    model.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match="none of the `distillation_losses`"):
        fit(model, histogram)
