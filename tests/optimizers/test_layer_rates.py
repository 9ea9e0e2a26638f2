"""An optimizer with a multiplier for each variable."""

import copy

import keras
import numpy as np
import pytest
from helpers import (
    BACKEND,
    arrays,
    assert_same,
    blobs,
    copies,
    crossentropy,
    mlp,
    two_replicas,
)
from keras import ops, optimizers

from keras_dts import Distiller
from keras_dts.optimizers import LayerRates

X, Y = blobs()
RATE, STEPS = 0.01, 20
MULTIPLIERS = (0.5, 1.7)
KINDS = {
    "SGD": {},
    "momentum": {"momentum": 0.9},
    "Nesterov": {"momentum": 0.9, "nesterov": True},
    "weight decay": {"weight_decay": 0.1},
    "accumulation": {"momentum": 0.9, "gradient_accumulation_steps": 3},
    "clipping": {"clipnorm": 0.1},
    "Adam": {},
    "AdamW": {"weight_decay": 0.1},
    "Adamax": {},
    "RMSprop": {"momentum": 0.9},
    "Lion": {},
    "Adafactor": {},
    "Lamb": {},
    "Nadam": {},
    "Muon": {},
    "Adagrad": {},
    "Adadelta": {},
}
# Variables that share a norm have no step of their own.
SETTINGS = {**KINDS, "shared norm": {"momentum": 0.9, "global_clipnorm": 0.1}}


def optimizer_of(kind, rate=RATE):
    factory = getattr(optimizers, kind, optimizers.SGD)
    return factory(rate, **SETTINGS[kind])


def two_variables():
    rng = np.random.default_rng(0)
    return [
        keras.Variable(rng.normal(size=shape).astype("float32"), name=name)
        for shape, name in (((3, 2), "kernel"), ((2,), "bias"))
    ]


def steps(optimizer, variables):
    """Moves variables by the same gradients each time."""
    rng = np.random.default_rng(1)
    draws = rng.normal(size=(STEPS, 8)).astype("float32")
    for kernel, bias in zip(
        draws[:, :6].reshape(-1, 3, 2), draws[:, 6:], strict=True
    ):
        gradients = {"kernel": kernel, "bias": bias}
        if BACKEND == "jax":
            values, state = optimizer.stateless_apply(
                [v.value for v in optimizer.variables],
                [ops.convert_to_tensor(gradients[v.name]) for v in variables],
                [v.value for v in variables],
            )
            for v, value in zip(variables, values, strict=True):
                v.assign(value)
            for v, value in zip(optimizer.variables, state, strict=True):
                v.assign(value)
        else:
            optimizer.apply(
                [ops.convert_to_tensor(gradients[v.name]) for v in variables],
                variables,
            )
    return [ops.convert_to_numpy(v) for v in variables]


def with_rates(optimizer, multipliers):
    variables = two_variables()
    rates = LayerRates(optimizer)
    rates.build(variables)
    rates.set_multipliers(zip(variables, multipliers, strict=True))
    return steps(rates, variables)


@pytest.mark.parametrize("kind", KINDS)
def test_a_multiplier_is_a_rate_of_its_own(kind):
    found = with_rates(optimizer_of(kind), MULTIPLIERS)
    for i, multiplier in enumerate(MULTIPLIERS):
        variable = two_variables()[i]
        plain = optimizer_of(kind, multiplier * RATE)
        plain.build([variable])
        (expected,) = steps(plain, [variable])
        np.testing.assert_allclose(found[i], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "kind", ["shared norm", "weight decay", "accumulation", "Adam", "Muon"]
)
def test_multipliers_of_one_change_nothing(kind):
    variables, plain = two_variables(), optimizer_of(kind)
    plain.build(variables)
    expected = steps(plain, variables)
    found = with_rates(optimizer_of(kind), (1.0, 1.0))
    for one, other in zip(found, expected, strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_constraint_holds_after_the_scaled_step():
    def moved_by(optimizer):
        variable = two_variables()[0]
        variable.constraint = keras.constraints.MaxNorm(1.0)
        optimizer.build([variable])
        if isinstance(optimizer, LayerRates):
            optimizer.set_multipliers([(variable, multiplier)])
        return steps(optimizer, [variable])[0]

    multiplier = 1.0
    plain = moved_by(optimizers.SGD(RATE))
    assert moved_by(LayerRates(optimizers.SGD(RATE))).tobytes() == (
        plain.tobytes()
    )
    multiplier = 300.0
    norms = np.linalg.norm(moved_by(LayerRates(optimizers.SGD(RATE))), axis=0)
    assert norms == pytest.approx([1.0, 1.0], abs=1e-5)


# In `fit`.


def compiled(optimizer, multiplier=0.25, distill=False, seed=2, **kwargs):
    """A model whose kernels have a multiplier of their own."""
    model = mlp(seed=seed)
    if distill:
        model = Distiller(mlp(16, seed=1), model)
    rates = LayerRates(optimizer)
    model.compile(rates, crossentropy(), **kwargs)
    model.optimizer.build(model.trainable_variables)
    rates.set_multipliers(
        [
            (v, multiplier)
            for v in model.trainable_variables
            if v.name == "kernel"
        ]
    )
    return model


def fit(model, x=X, y=Y, **kwargs):
    return model.fit(
        x, y, batch_size=16, shuffle=False, verbose=0, **kwargs
    ).history


def weights_of(model):
    student = getattr(model, "student", model)
    return copies(student)


@pytest.mark.parametrize("distill", [False, True])
def test_a_compiled_fit_scales_the_step(distill):
    """The first step of plain SGD is known from the one without multipliers."""
    ends = []
    for multiplier in (1.0, 0.25):
        model = compiled(
            optimizers.SGD(0.1),
            multiplier,
            distill,
            jit_compile=BACKEND != "torch",
        )
        before = weights_of(model)
        model.fit(X, Y, batch_size=64, verbose=0)
        ends.append(
            [b - a for a, b in zip(before, weights_of(model), strict=True)]
        )
    for i, (whole, part) in enumerate(zip(*ends, strict=True)):
        factor = 1.0 if i % 2 else 0.25
        np.testing.assert_allclose(part, factor * whole, atol=1e-7)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_broken_batch_changes_nothing():
    ends = []
    for kept in (slice(None), np.arange(len(X)) < 48):
        model = compiled(optimizers.Adam(0.01), distill=True, on_fault="skip")
        x = np.where(np.arange(len(X))[:, None] == 50, np.nan, X)
        fit(model, x[kept], Y[kept])
        ends.append([*model.student.variables, *model.optimizer.variables])
    assert_same(*map(arrays, ends), rtol=0)


def test_a_saved_model_goes_on_exactly(tmp_path):
    unbroken = compiled(optimizers.AdamW(0.01, weight_decay=0.1))
    fit(unbroken, epochs=4)
    stopped = compiled(optimizers.AdamW(0.01, weight_decay=0.1))
    fit(stopped, epochs=2)
    stopped.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, LayerRates)
    assert sorted(loaded.optimizer.multipliers) == [0.25, 0.25, 1.0, 1.0]
    fit(loaded, initial_epoch=2, epochs=4)
    assert_same(copies(loaded), copies(unbroken), rtol=0, atol=0)


def test_float16_scales_the_loss_around_it():
    keras.config.set_dtype_policy("mixed_float16")
    ends = []
    for multiplier in (1.0, 0.25):
        inner = optimizers.SGD(0.1, loss_scale_factor=8.0)
        model = compiled(inner, multiplier)
        assert isinstance(model.optimizer, optimizers.LossScaleOptimizer)
        before = copies(model)
        model.fit(X, Y, batch_size=64, verbose=0)
        ends.append([b - a for a, b in zip(before, copies(model), strict=True)])
    plain = mlp(seed=2)
    plain.compile(optimizers.SGD(0.1), crossentropy())
    before = copies(plain)
    plain.fit(X, Y, batch_size=64, verbose=0)
    for i, (whole, part) in enumerate(zip(*ends, strict=True)):
        assert np.abs(whole).max() > 1e-3
        np.testing.assert_allclose(
            whole, copies(plain)[i] - before[i], atol=1e-4
        )
        factor = 1.0 if i % 2 else 0.25
        np.testing.assert_allclose(part, factor * whole, atol=1e-4)


def test_the_rate_of_the_inner_optimizer_can_be_scheduled():
    model = compiled(optimizers.SGD(0.1))
    callback = keras.callbacks.LearningRateScheduler(lambda e, r: r / 2)
    logs = fit(model, epochs=2, callbacks=[callback])
    assert logs["learning_rate"] == pytest.approx([0.05, 0.025])
    assert float(model.optimizer.inner_optimizer.learning_rate) == (
        pytest.approx(0.025)
    )
    assert int(model.optimizer.iterations) == 8
    schedule = optimizers.schedules.CosineDecay(0.1, 8)
    fit(compiled(optimizers.SGD(schedule)))


def test_a_factor_of_the_loss_is_taken_back():
    ends = []
    for factor in (None, 8.0):
        model = compiled(optimizers.SGD(0.1, loss_scale_factor=factor))
        fit(model)
        ends.append(copies(model))
    assert_same(*ends, rtol=0, atol=1e-6)


@pytest.mark.tensorflow
def test_replicas_scale_their_common_step():
    ends = [compiled(optimizers.Adam(0.01))]
    with two_replicas().scope():
        ends.append(compiled(optimizers.Adam(0.01)))
    for model in ends:
        fit(model)
    assert_same(*map(copies, ends), rtol=0, atol=1e-6)


# What is taken, and what is refused.


def test_its_configuration_makes_it_again():
    schedule = optimizers.schedules.CosineDecay(0.1, 8)
    first = LayerRates(optimizers.Adam(schedule, clipnorm=1.0), name="rates")
    config = optimizers.serialize(first)
    second = optimizers.deserialize(copy.deepcopy(config))
    assert second.name == "rates"
    assert second.inner_optimizer.clipnorm == 1.0
    assert optimizers.serialize(second) == config


def test_the_whole_state_can_be_set():
    source, target = (compiled(optimizers.Adam(0.01)) for _ in range(2))
    fit(source)
    target.optimizer.set_weights(source.optimizer.variables)
    assert_same(
        arrays(target.optimizer.variables), arrays(source.optimizer.variables)
    )


@pytest.mark.parametrize(
    ("optimizer", "why"),
    [
        (optimizers.Ftrl, "Ftrl, which keeps the effect of its learning"),
        (optimizers.ScheduleFreeAdamW, "ScheduleFreeAdamW, which keeps"),
        (lambda: optimizers.Adam(use_ema=True), "Adam, which averages"),
        (
            lambda: optimizers.LossScaleOptimizer(optimizers.Adam()),
            "LossScaleOptimizer, which belongs around",
        ),
    ],
)
def test_optimizers_that_cannot_be_scaled_are_refused(optimizer, why):
    with pytest.raises(ValueError, match=f"`optimizer` must be one.*{why}"):
        LayerRates(optimizer())


def test_multipliers_are_checked():
    kernel, bias = two_variables()
    rates = LayerRates("sgd")
    with pytest.raises(ValueError, match="must be built first"):
        _ = rates.multipliers
    with pytest.raises(ValueError, match="`multiplier` must be a finite nu"):
        rates.set_multipliers([(kernel, 0.0)])
    rates.build([kernel])
    with pytest.raises(ValueError, match=r"`pairs` must hold.*'bias'"):
        rates.set_multipliers([(bias, 1.0)])


def test_multipliers_may_be_set_before_it_is_built():
    model = mlp(seed=2)
    rates = LayerRates("adam")
    rates.set_multipliers([(model.trainable_variables[2], 0.5)])
    model.compile(rates, crossentropy())
    fit(model)
    assert list(rates.multipliers) == [1.0, 1.0, 0.5, 1.0]
