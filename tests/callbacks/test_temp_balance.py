"""TempBalance: which layers get which rate, in `fit`."""

import keras
import numpy as np
import pytest
from helpers import BACKEND, assert_same, copies, crossentropy, randomize
from keras import layers

from keras_dts import Distiller
from keras_dts.callbacks import TempBalance
from keras_dts.callbacks.exponents import hill_exponent
from keras_dts.optimizers import LayerRates

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 8)).astype("float32")
Y = RNG.integers(0, 3, 32).astype("int32")
WIDTH = 12


def everywhere(test):
    """Marks a test that all backends run: what `fit` does with the rates."""
    for backend in ("jax", "tensorflow", "torch"):
        test = getattr(pytest.mark, backend)(test)
    return test


def network(depth=4, width=WIDTH, norms=False):
    """Dense layers `0`, `1`, ..., each with a norm, and the last one `out`."""
    inputs = x = keras.Input((8,))
    for i in range(depth):
        x = layers.Dense(width, activation="relu", name=f"dense{i}")(x)
        if norms:
            x = layers.BatchNormalization(name=f"norm{i}")(x)
    x = layers.Dense(3, name="out")(x)
    return randomize(keras.Model(inputs, x), seed=1)


def compiled(model=None, **kwargs):
    model = network() if model is None else model
    model.compile(
        LayerRates(keras.optimizers.Adam(0.01)), crossentropy(), **kwargs
    )
    return model


def fit(model, balance=None, **kwargs):
    return model.fit(
        X,
        Y,
        batch_size=16,
        shuffle=False,
        verbose=0,
        callbacks=[] if balance is None else [balance],
        **kwargs,
    ).history


def rates_of(model):
    rates = model.optimizer.multipliers
    names = [v.path for v in model.trainable_variables]
    return dict(zip(names, map(float, rates), strict=True))


def alpha_of(kernel):
    singular = np.linalg.svd(kernel.astype("float64"), compute_uv=False)
    return hill_exponent(singular**2)


@everywhere
def test_inner_layers_get_the_range_by_their_exponents():
    model = compiled(
        network(depth=5, norms=True), jit_compile=BACKEND != "torch"
    )
    alphas = {
        f"dense{i}": alpha_of(copies(model.get_layer(f"dense{i}"))[0])
        for i in range(1, 5)
    }
    balance = TempBalance(0.6, 1.4, minimum=10)
    logs = fit(model, balance)
    assert [row.layer for row in balance.table] == list(alphas)
    found = {row.layer: row.alpha for row in balance.table}
    assert found == pytest.approx(alphas, rel=1e-5)
    low, high = min(alphas.values()), max(alphas.values())
    rates = rates_of(model)
    for name, alpha in alphas.items():
        expected = 0.6 + 0.8 * (alpha - low) / (high - low)
        assert rates.pop(f"{name}/kernel") == pytest.approx(expected, 1e-4)
        for part in ("gamma", "beta"):
            of_norm = rates.pop(f"{name.replace('dense', 'norm')}/{part}")
            assert of_norm == pytest.approx(expected, 1e-4)
    assert set(rates.values()) == {1.0}  # the biases, and both ends
    assert {"dense0/kernel", "norm0/gamma", "out/kernel"} <= set(rates)
    values = list(alphas.values())
    assert logs["alpha_mean"] == pytest.approx([np.mean(values)], rel=1e-5)
    assert logs["alpha_spread"] == pytest.approx([np.std(values)], rel=1e-5)


def names_of(model, **kwargs):
    balance = TempBalance(**kwargs)
    fit(compiled(model), balance)
    return [row.layer for row in balance.table]


def test_layers_are_left_out_by_place_size_and_emptiness():
    model = network()
    inner = ["dense1", "dense2", "dense3"]
    assert names_of(model, minimum=12) == inner
    assert names_of(model, minimum=8, first=True) == ["dense0", *inner]
    # The last one is too small for the first two calls.
    assert names_of(model, minimum=3, last=True) == [*inner, "out"]
    model.get_layer("dense2").kernel.assign(np.zeros((WIDTH, WIDTH)))
    model.get_layer("dense3").trainable = False
    # What is now the last one is left out, before the size is looked at.
    assert names_of(model, minimum=12, last=True, first=True) == ["dense1"]


def test_too_few_layers_are_an_error_that_counts_them():
    with pytest.raises(
        ValueError, match=r"with 0 of them, .* have \[8, 12, 12, 12, 3\] eigen"
    ):
        fit(compiled(), TempBalance())


def residual():
    """A block with a shortcut, and one inside of a layer of layers."""
    inputs = keras.Input((4, 4, 6))
    x = layers.Conv2D(6, 1, name="first")(inputs)
    y = layers.Conv2D(6, 3, padding="same", name="main")(x)
    short = layers.Conv2D(6, 1, name="short")(x)
    y = layers.BatchNormalization(name="main_norm")(y)
    short = layers.BatchNormalization(name="short_norm")(short)
    x = layers.Add()([y, short])
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Reshape((4, 6))(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.LayerNormalization(name="after")(x)
    x = layers.Dense(3)(layers.Flatten()(x))
    return randomize(keras.Model(inputs, x), seed=3)


def test_norms_follow_the_layer_whose_output_they_take():
    model = residual()
    model.compile(LayerRates("sgd"), crossentropy())
    balance = TempBalance(minimum=6)
    x = RNG.normal(size=(8, 4, 4, 6)).astype("float32")
    model.fit(x, Y[:8], callbacks=[balance], verbose=0)
    found = {row.layer: row.multiplier for row in balance.table}
    attention = [name for name in found if name.startswith("attention/")]
    assert set(found) == {"main", "short", *attention}
    assert len(attention) == 4
    rates = rates_of(model)
    for name in ("main", "short"):
        assert rates[f"{name}/kernel"] == pytest.approx(found[name])
        assert rates[f"{name}_norm/gamma"] == pytest.approx(found[name])
    # Of an attention, that is the last layer before the norm.
    output = found["attention/attention_output"]
    assert rates["after/gamma"] == pytest.approx(output)
    assert len(set(found.values())) == 6


def test_norms_keep_the_rate_if_they_shall():
    model = compiled(network(norms=True))
    fit(model, TempBalance(minimum=10, norms=False))
    rates = rates_of(model)
    assert {v for k, v in rates.items() if "norm" in k} == {1.0}


@everywhere
def test_equal_exponents_change_nothing():
    ends = []
    for callback in (None, TempBalance(minimum=10)):
        model = network()
        kernel = copies(model.get_layer("dense1"))[0]
        for i in (2, 3):  # the same exponents, in other orders and sizes
            model.get_layer(f"dense{i}").kernel.assign(i * kernel[::-1])
        fit(compiled(model), callback)
        ends.append(copies(model))
    for one, other in zip(*ends, strict=True):
        assert one.tobytes() == other.tobytes()


def test_an_analysis_is_made_every_so_many_epochs():
    logs = fit(compiled(), TempBalance(minimum=10, every=2), epochs=4)
    means = logs["alpha_mean"]
    assert means[0] == means[1] != means[2] == means[3]


@everywhere
def test_a_stopped_training_goes_on_as_if_it_had_not(tmp_path):
    """Between two analyses, where a new one would give other rates."""
    unbroken, stopped = compiled(), compiled()
    logs = fit(unbroken, TempBalance(minimum=10, every=2), epochs=4)
    fit(stopped, TempBalance(minimum=10, every=2), epochs=3)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    rest = fit(
        loaded,
        TempBalance(minimum=10, every=2),
        initial_epoch=3,
        epochs=4,
    )
    assert rest["loss"] == pytest.approx(logs["loss"][3:], abs=1e-6)
    assert_same(copies(loaded), copies(unbroken), rtol=0, atol=1e-6)


@everywhere
def test_of_a_distiller_the_student_is_balanced():
    student = network()
    model = compiled(Distiller(network(width=16), student))
    balance = TempBalance(minimum=10)
    fit(model, balance)
    assert [row.layer for row in balance.table] == [
        student.get_layer(f"dense{i}").path for i in (1, 2, 3)
    ]
    spread = sorted(row.multiplier for row in balance.table)
    assert [spread[0], spread[-1]] == [0.5, 1.5]


def test_float16_wraps_the_optimizer():
    keras.config.set_dtype_policy("mixed_float16")
    model = compiled()
    balance = TempBalance(minimum=10)
    fit(model, balance)
    rates = model.optimizer.inner_optimizer.multipliers
    expected = [row.multiplier for row in balance.table]
    assert rates[2:8:2] == pytest.approx(expected)


def test_it_needs_its_optimizer():
    model = network()
    model.compile("adam", crossentropy())
    with pytest.raises(ValueError, match=r"`optimizer=LayerRates.*: Adam"):
        fit(model, TempBalance(minimum=10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"low": 0.0}, "`low` must be a finite number, greater than 0"),
        ({"low": 1.2, "high": 1.1}, "`high` must be a finite .* least 1.2"),
        ({"every": 0}, "`every` must be a whole number"),
        ({"minimum": 2.5}, "`minimum` must be a whole number"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        TempBalance(**arguments)


def test_a_slow_analysis_is_told_once(monkeypatch, recwarn):
    # Three readings an epoch: 2 seconds of 10 are the analysis's.
    ticks = iter([0, 2, 10, 20, 22, 30])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    model, balance = compiled(), TempBalance(minimum=10)
    balance.set_model(model)
    for epoch in range(2):
        balance.on_epoch_begin(epoch)
        balance.on_epoch_end(epoch, {})
    told = [str(w.message) for w in recwarn if w.category is UserWarning]
    (message,) = told
    assert "takes 20 % of an epoch to analyse the weights: 2.0 sec" in message
