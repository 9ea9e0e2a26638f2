"""Attacks by bad inputs: wrong arguments, data, labels, weights, caches.

    KERAS_BACKEND=torch python -m pytest tests/attacks/test_bad_inputs.py \
        -m attack

tries about 200 of them, sorts what each led to, and prints the counts. It takes
a minute on PyTorch, and some on JAX and TensorFlow. What an input led to is one
of these:

- `named`: an error of this package whose first words are the argument's name in
  backticks, and that says what it received;
- `Keras's`: an error of Keras, or of the backend, about an argument of Keras's;
- `warned`: accepted, with a warning that names the argument;
- `fine`: accepted, and right;
- `the user's`: accepted, and for the user to say;
- `wrong`: accepted, and the result is not what was asked for;
- `obscure`: any other error;
- `spoilt`: an error, but the student has weights that are not finite;
- `NaN`: accepted, and the student's weights or the loss are not finite.

No input may lead to one of the last four, but for those that `OPEN` lists.
"""

import pathlib
import re
import traceback
import warnings

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp

import keras_dts
from keras_dts import DTS, Distiller, DynamicTemperature, losses, temperatures

pytestmark = [
    pytest.mark.attack,
    pytest.mark.jax,
    pytest.mark.tensorflow,
    pytest.mark.torch,
]

X, Y = blobs(32)
ONE_HOT = np.eye(3, dtype="float32")[Y]
NAN, INF = float("nan"), float("inf")
BAD = ("wrong", "obscure", "spoilt", "NaN")

# Known, and to be mended.
OPEN = {
    # Keras's own: on JAX a `StopIteration` without words, on TensorFlow an
    # epoch of no steps.
    "x: empty",
    "batch_size=-1",
}

# The last student, if its weights were finite.
LAST: list[keras.Model] = []


class Constant(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that has one value."""

    def __init__(self, value):
        self.value = value

    def __call__(self, step):
        return self.value

    def get_config(self):
        return {"value": self.value}


def distiller(compiled=None, teacher=None, student=None, **options):
    """Returns a compiled distiller."""
    made = Distiller(
        mlp(16, seed=1) if teacher is None else teacher,
        mlp(4, seed=2) if student is None else student,
        **options,
    )
    LAST[:] = [made.student] if _has_finite_weights(made.student) else []
    usual = {"optimizer": "sgd", "loss": crossentropy()}
    made.compile(**usual | (compiled or {}))
    return made


def fit(*data, compiled=None, models=(None, None), made=None, **options):
    """Trains a student for two epochs, and returns it with its logs."""
    if made is None:
        made = distiller(compiled, *models)
    data = data or (X, Y)
    usual = {"epochs": 2, "batch_size": 16, "shuffle": False, "verbose": 0}
    run = made.fit(*data, **usual | options)
    return made.student, run.history


def of(**options):
    """A training by a distiller with these arguments."""
    return lambda tmp_path: fit(made=distiller(**options))


def data(*arrays, **options):
    """A training on these data."""
    return lambda tmp_path: fit(*arrays, **options)


def made(function, *arguments, **options):
    """An object with these arguments."""
    return lambda tmp_path: function(*arguments, **options)


def cache(**options):
    """A cache with these arguments, and a training from it."""

    def run(tmp_path):
        given = {"teacher": mlp(16, seed=1), "data": (X, Y)} | options
        found = keras_dts.cache_teacher(
            given.pop("teacher"),
            given.pop("data"),
            tmp_path / "cache",
            **{"batch_size": 8} | given,
        )
        return fit(found, made=distiller())

    return run


def from_cache(function):
    """What a function does with a distiller and a cache."""

    def run(tmp_path):
        found = keras_dts.cache_teacher(
            mlp(16, seed=1), (X, Y), tmp_path / "cache", batch_size=8
        )
        return function(distiller(), found)

    return run


def changed(array, where, value, dtype=None):
    """Returns a copy of an array with other values."""
    copy = np.array(array, dtype or array.dtype)
    copy[where] = value
    return copy


def weights(value, where=slice(None)):
    return changed(np.ones(32, "float32"), where, value)


def broken(value, **options):
    """A model with a bias that is not finite."""
    model = mlp(**options)
    kernel, bias = model.get_layer("out").get_weights()
    bias[0] = value
    model.get_layer("out").set_weights([kernel, bias])
    return model


def outcome_of(run, tmp_path, *, accepted, own):
    """Runs an input, and says what it led to.

    Args:
        run: What tries the input.
        tmp_path: A folder for it.
        accepted: What it is if it is accepted: "fine", "the user's", "wrong".
        own: Whether the argument is one of this package's.
    """
    LAST.clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            result = run(tmp_path)
        except Exception as error:
            spoilt = not all(map(_has_finite_weights, LAST))
            return "spoilt" if spoilt else _kind_of(error, own)
    if isinstance(result, tuple) and not _is_finite(*result):
        return "NaN"
    named = any(str(w.message).startswith("`") for w in said)
    return "warned" if accepted == "wrong" and named else accepted


def _kind_of(error, own):
    if re.match(r"[\w ]{0,30}`\w[^`]*`.*Received: ", str(error), re.DOTALL):
        return "named"
    *_, last = traceback.extract_tb(error.__traceback__)
    ours = pathlib.Path(keras_dts.__file__).parent.as_posix()
    told = isinstance(error, (ValueError, TypeError)) and str(error)
    if told and not own and not last.filename.startswith(ours):
        return "Keras's"
    return "obscure"


def _has_finite_weights(model):
    return all(np.isfinite(w).all() for w in model.get_weights())


def _is_finite(student, history):
    logged = [v for k, values in history.items() if "loss" in k for v in values]
    return np.isfinite(logged).all() and _has_finite_weights(student)


# The groups: a name, what tries it, and what it is if it is accepted.

MODELS = {
    "teacher: a function": (of(teacher=len), "wrong"),
    "teacher: a path": (of(teacher="t.keras"), "wrong"),
    "teacher: a layer": (of(teacher=keras.layers.Dense(3)), "wrong"),
    "student: a class": (of(student=keras.Model), "wrong"),
    "student: a list": (of(student=[mlp()]), "wrong"),
    "teacher: 4 classes": (of(teacher=mlp(classes=4)), "wrong"),
    "student: 1 unit": (of(student=mlp(classes=1)), "wrong"),
    "student: frozen": (of(student=mlp(trainable=False)), "wrong"),
    "teacher: NaN": (of(teacher=broken(NAN)), "wrong"),
    "teacher: inf": (of(teacher=broken(INF)), "wrong"),
    "teacher: 1e30": (of(teacher=broken(1e30)), "the user's"),
    "teacher of values: NaN": (
        of(
            teacher=broken(NAN),
            distillation_losses=losses.MeanSquaredError(),
        ),
        "wrong",
    ),
    "student: NaN": (of(student=broken(NAN)), "wrong"),
    "student: inf": (of(student=broken(INF)), "wrong"),
    "class_names": (
        lambda tmp_path: fit(
            made=distiller(
                None,
                _with_names(mlp(16, seed=1), "abc"),
                _with_names(mlp(4, seed=2), "acb"),
            )
        ),
        "wrong",
    ),
    "both sides the same": (
        lambda tmp_path: fit(made=distiller(None, *[mlp()] * 2)),
        "wrong",
    ),
    **{
        f"from_logits={value!r}": (of(from_logits=value), "wrong")
        for value in ("yes", None, 1, (True,), (True, "no"), [], 0.5)
    },
    "from_logits=True of a softmax": (
        of(teacher=mlp(16, activation="softmax"), from_logits=(True, True)),
        "wrong",
    ),
    "from_logits=False of logits": (
        of(from_logits=(False, True)),
        "wrong",
    ),
    "teacher_inputs=3": (of(teacher_inputs=3), "wrong"),
    "student_inputs='x'": (of(student_inputs="x"), "wrong"),
    **{
        f"chunk_size={value!r}": (of(chunk_size=value), "wrong")
        for value in (0, -1, 2.5, "big", True, NAN, INF, [4], 4)
    },
    "name=3": (of(name=3), "wrong"),
}


def _with_names(model, names):
    model.class_names = list(names)
    return model


LOSSES = {
    **{
        f"distillation_losses={value!r}": (
            of(distillation_losses=value),
            "wrong",
        )
        for value in ([], "kd", "mes", [None], 3, {}, {"a": 1}, len, [[]])
    },
    "distillation_losses: a class": (
        of(distillation_losses=losses.KD),
        "wrong",
    ),
    "distillation_losses: two for one output": (
        of(distillation_losses=[[losses.KD(), losses.KD()]]),
        "wrong",
    ),
    "distillation_losses: cross entropy": (
        of(distillation_losses=keras.losses.CategoricalCrossentropy()),
        "wrong",
    ),
    "LogitsDistillation: binary": (
        of(
            distillation_losses=keras.distillation.LogitsDistillation(
                1.0, "binary_crossentropy"
            )
        ),
        "wrong",
    ),
    "features: missing in the student": (
        of(
            distillation_losses=keras.distillation.FeatureDistillation(
                "mse", "feat", "nope"
            )
        ),
        "wrong",
    ),
    "features: missing in the teacher": (
        of(
            distillation_losses=keras.distillation.FeatureDistillation(
                "mse", "", "feat"
            )
        ),
        "wrong",
    ),
    "features: of one model": (
        of(
            distillation_losses=keras.distillation.FeatureDistillation(
                "mse", "feat", None
            )
        ),
        "wrong",
    ),
    **{
        f"distillation_loss_weights={value!r}": (
            of(distillation_loss_weights=value),
            "wrong",
        )
        for value in (-1, NAN, INF, [1, 2], [], "x", [None], True, 1e39)
    },
    **{
        f"student_loss_weight={value!r}": (
            of(student_loss_weight=value),
            "wrong",
        )
        for value in (1.5, -0.1, NAN, INF, "x", None, True, [0.5])
    },
    "no loss counts": (
        of(distillation_loss_weights=0, student_loss_weight=0),
        "wrong",
    ),
    **{
        f"{name}: a schedule of {value}": (
            of(**{name: Constant(value)}),
            "wrong",
        )
        for name, value in (
            ("student_loss_weight", 2.0),
            ("student_loss_weight", -1.0),
            ("student_loss_weight", NAN),
            ("distillation_loss_weights", -1.0),
            ("distillation_loss_weights", NAN),
            ("distillation_loss_weights", INF),
        )
    },
    **{
        f"{kind.__name__}({options})": (made(kind, **options), "wrong")
        for kind, options in (
            (losses.DKD, {"alpha": -1}),
            (losses.DKD, {"beta": NAN}),
            (losses.GeneralizedJSD, {"beta": 1.5}),
            (losses.SkewKL, {"skew": 1.0}),
            (losses.MLKD, {"view": "strange"}),
            (losses.MLKD, {"temperatures": [0.0]}),
            (losses.CosineKD, {"alpha": -1.0}),
            (losses.AnnealingKD, {"epochs": 2, "levels": 5}),
            (losses.Huber, {"delta": 0.0}),
            (losses.Huber, {"delta": INF}),
            (losses.KD, {"temperature": "hot"}),
        )
    },
}

TEMPERATURES = {
    **{
        f"temperature={value!r}": (of(temperature=value), "wrong")
        for value in (
            *(0, -1, NAN, INF, "hot", None, True, [4.0], 1e-40, 1e39),
            *(1e-19, 1e19, 10**400, 2j, len, np.ones(3)),
        )
    },
    **{
        f"temperature={value!r}": (of(temperature=value), "fine")
        for value in (1e-3, 1e6, np.float64(2.0), np.int64(3))
    },
    **{
        f"temperature: a schedule of {value}": (
            of(temperature=Constant(value)),
            "fine" if value <= 0 else "wrong",  # counts as 0.001
        )
        for value in (NAN, INF, 0.0, -1.0)
    },
    "temperature: a class": (of(temperature=DynamicTemperature), "wrong"),
    **{
        f"DynamicTemperature({options})": (
            made(DynamicTemperature, **options),
            "wrong",
        )
        for options in (
            {"minimum": 5.0, "maximum": 2.0},
            {"initial": "hot"},
            {"initial": -1},
            {"initial": 1e39},
            {"momentum": 1.0},
            {"momentum": -0.1},
            {"momentum": 1 - 1e-12},
            {"curve": 0},
            {"curve": NAN},
            {"gap_scale": "x"},
            {"update": "later"},
            {"granularity": "batch"},
        )
    },
    **{
        f"{kind.__name__}({options})": (made(kind, **options), "wrong")
        for kind, options in (
            (temperatures.LogitStandardization, {"base": 0.0}),
            (temperatures.LogitStandardization, {"base": "x"}),
            (temperatures.SharpnessTemperature, {"reference": -1.0}),
            (temperatures.CosineSimilarityTemperature, {"low": 0.0}),
            (
                temperatures.CosineSimilarityTemperature,
                {"low": 6.0, "high": 2.0},
            ),
            (temperatures.CurriculumTemperature, {"start": 0}),
            (temperatures.CurriculumTemperature, {"epochs": 0}),
            (temperatures.TransformedTeacher, {"exponent": 2.0}),
            (temperatures.ConsistentTemperature, {"ratio": -1.0}),
            (temperatures.TokenDifficultyTemperature, {"strength": NAN}),
            (temperatures.TokenFocus, {"minimum": 0.0}),
            (temperatures.AnnealedTeacher, {"levels": 0}),
            (temperatures.ScheduledTemperature, {"schedule": 4.0}),
        )
    },
}

CALLBACKS = {
    **{
        f"DTS({options})": (made(DTS, **options), "wrong")
        for options in (
            {"initial": -1},
            {"initial": NAN},
            {"minimum": 5.0, "maximum": 2.0},
            {"epochs": 0},
            {"epochs": 2.5},
            {"maximum": "x"},
        )
    },
    "DTS beside a temperature that it cannot drive": (
        lambda tmp_path: fit(
            made=distiller(temperature=temperatures.TransformedTeacher()),
            callbacks=[DTS()],
        ),
        "wrong",
    ),
    "DTS beside losses with their own": (
        lambda tmp_path: fit(
            made=distiller(distillation_losses=losses.KD(2.0)),
            callbacks=[DTS()],
        ),
        "wrong",
    ),
    "DTS of a student alone": (lambda tmp_path: _alone(), "wrong"),
    "callbacks: a class": (data(callbacks=[DTS]), "wrong"),
    "callbacks: a function": (data(callbacks=[len]), "wrong"),
    "callbacks: a text": (data(callbacks="dts"), "wrong"),
}


def _alone():
    student = mlp()
    student.compile("sgd", crossentropy())
    return student, student.fit(X, Y, callbacks=[DTS()], verbose=0).history


COMPILE = {
    "an argument that is none": (of(alpha=0.5), "wrong"),
    "teacher_inputs: of another width": (
        of(teacher_inputs=lambda x: x[:, :3]),
        "wrong",
    ),
    "loss: no such": (data(compiled={"loss": "nonsense"}), "wrong"),
    "loss: a number": (data(compiled={"loss": 3}), "wrong"),
    "loss: values": (data(compiled={"loss": "mse"}), "wrong"),
    "loss: other classes' axis": (
        data(
            X,
            ONE_HOT,
            compiled={"loss": keras.losses.CategoricalCrossentropy(axis=0)},
        ),
        "wrong",
    ),
    "loss: many labels, of indices": (
        data(compiled={"loss": "binary_crossentropy"}),
        "wrong",
    ),
    "optimizer: no such": (data(compiled={"optimizer": "nonsense"}), "wrong"),
    **{
        f"distillation_metrics={value!r}": (
            data(compiled={"distillation_metrics": value}),
            "wrong",
        )
        for value in ("accuracy", ["accuracy"], 3, [len])
    },
    "distillation_metrics: twice": (
        data(
            compiled={
                "distillation_metrics": [
                    keras_dts.metrics.TeacherKL(),
                    keras_dts.metrics.TeacherKL(),
                ]
            }
        ),
        "wrong",
    ),
    "learning rate 1e6": (
        data(compiled={"optimizer": keras.optimizers.SGD(1e6)}),
        "the user's",
    ),
    "learning rate NaN": (
        data(compiled={"optimizer": keras.optimizers.SGD(NAN)}),
        "wrong",
    ),
    "fit without compile": (
        lambda tmp_path: fit(made=Distiller(mlp(16), mlp(4))),
        "wrong",
    ),
}

INPUTS = {
    "x: NaN in the first batch": (data(changed(X, 3, NAN), Y), "wrong"),
    "x: NaN in the last batch": (data(changed(X, 20, NAN), Y), "wrong"),
    "x: inf": (data(changed(X, 3, INF), Y), "wrong"),
    "x: 1e38": (data(changed(X, 3, 1e38), Y), "wrong"),
    "x: None": (data(None, Y), "wrong"),
    "x: texts": (data(np.array(["a"] * 32), Y), "wrong"),
    "x: a list of texts": (data(["a"] * 32, Y), "wrong"),
    "x: objects": (data(X.astype(object), Y), "wrong"),
    "x: complex": (data(X.astype("complex64"), Y), "the user's"),
    "x: another width": (data(X[:, :5], Y), "wrong"),
    "x: rank 3": (data(X[..., None], Y), "fine"),  # Keras squeezes it
    "x: rank 4": (data(X[..., None, None], Y), "wrong"),
    "x: float64": (data(X.astype("float64"), Y), "fine"),
    "x: empty": (data(X[:0], Y[:0]), "wrong"),
    "x: one example": (data(X[:1], Y[:1]), "fine"),
    "batch_size=0": (data(X, Y, batch_size=0), "the user's"),
    "batch_size=-1": (data(X, Y, batch_size=-1), "wrong"),
    "batch_size=1000": (data(X, Y, batch_size=1000), "fine"),
    "epochs=0": (data(X, Y, epochs=0), "fine"),
    "a generator of nothing": (data(iter(())), "wrong"),
}

LABELS = {
    **{
        f"y: {name}": (data(X, y), kind)
        for name, y, kind in (
            ("-1", changed(Y, 3, -1), "wrong"),
            ("-1 in a later batch", changed(Y, 20, -1), "wrong"),
            ("3", changed(Y, 3, 3), "wrong"),
            ("2**31 - 1", changed(Y, 3, 2**31 - 1), "wrong"),
            ("2**32", changed(Y, 3, 2**32, "int64"), "wrong"),
            ("2**32 + 1", changed(Y, 3, 2**32 + 1, "int64"), "wrong"),
            ("uint8 255", changed(Y, 3, 255, "uint8"), "wrong"),
            ("0.5", changed(Y, 3, 0.5, "float32"), "wrong"),
            ("2.9", changed(Y, 3, 2.9, "float32"), "wrong"),
            ("-0.5", changed(Y, 3, -0.5, "float32"), "wrong"),
            ("NaN", changed(Y, 3, NAN, "float32"), "wrong"),
            ("inf", changed(Y, 3, INF, "float32"), "wrong"),
            ("whole floats", Y.astype("float32"), "fine"),
            ("bool", Y > 0, "fine"),
            ("texts", np.array(["a"] * 32), "wrong"),
            ("objects", Y.astype(object), "fine"),
            ("None in a list", [None] * 32, "wrong"),
            ("complex", Y.astype("complex64"), "wrong"),
            ("rank 3", Y[:, None, None], "wrong"),
            ("two columns", np.stack([Y, Y], -1), "wrong"),
            ("one-hot for indices", ONE_HOT, "wrong"),
            ("31 of 32", Y[:31], "wrong"),
            ("none", None, "fine"),
        )
    },
    **{
        f"soft y: {name}": (
            data(
                X,
                y,
                compiled={
                    "loss": keras.losses.CategoricalCrossentropy(
                        from_logits=True
                    )
                },
            ),
            kind,
        )
        for name, y, kind in (
            ("sums of 5", 5 * ONE_HOT, "the user's"),
            ("negative", changed(ONE_HOT, 3, [-1, 1, 1]), "wrong"),
            ("NaN", changed(ONE_HOT, 3, NAN), "wrong"),
            ("inf", changed(ONE_HOT, 3, INF), "wrong"),
            ("indices", Y, "wrong"),
            ("4 classes", np.eye(4, dtype="float32")[Y], "wrong"),
            ("rows of 0", changed(ONE_HOT, 3, 0), "fine"),
        )
    },
}

WEIGHTS = {
    **{
        f"sample_weight: {name}": (data(X, Y, sample_weight=value), kind)
        for name, value, kind in (
            ("negative", weights(-1, 3), "the user's"),
            ("NaN", weights(NAN, 3), "wrong"),
            ("NaN in a later batch", weights(NAN, 20), "wrong"),
            ("inf", weights(INF, 3), "wrong"),
            ("(32, 3)", np.ones((32, 3), "float32"), "wrong"),
            ("31 of 32", np.ones(31, "float32"), "wrong"),
            ("texts", np.array(["a"] * 32), "wrong"),
            ("complex", np.ones(32, "complex64"), "wrong"),
            ("all 0", weights(0), "fine"),
            ("integers", np.ones(32, "int64"), "fine"),
            ("bool", np.ones(32, "bool"), "fine"),
        )
    },
    **{
        f"class_weight: {value}": (data(X, Y, class_weight=value), kind)
        for value, kind in (
            ({0: -1.0, 1: 1.0, 2: 1.0}, "the user's"),
            ({0: NAN, 1: 1.0, 2: 1.0}, "wrong"),
            ({0: 2.0}, "fine"),
        )
    },
}

CACHES = {
    **{
        f"cache_teacher({name}={value!r})": (cache(**{name: value}), "wrong")
        for name, value in (
            *[("top_k", v) for v in (0, -1, 2.5, True, "2", NAN)],
            *[("dtype", v) for v in ("int8", "bfloat16", 3, np.float32)],
            *[("views", v) for v in (0, 2, 1.5, "x", True)],
            *[("shard", v) for v in ((2, 2), (-1, 2), (0, 0), (0, 100))],
            *[("shard", v) for v in (("a", 2), 1, (0, 10**6), "ab", (0, 1, 2))],
            *[("batch_size", v) for v in (0, -1, 2.5, None, "x")],
            *[("features", v) for v in (["nope"], "feat", 3, [3])],
            *[("from_logits", v) for v in ("yes", None, 3)],
            *[("seed", v) for v in (-1, "x", 0.5, True, None)],
            *[("teacher", v) for v in (3, "t.keras", len)],
            *[("data", v) for v in (None, 3, [], "text", iter(()), len)],
            *[("augment", v) for v in (3, "flip")],
            *[("teacher_inputs", v) for v in (3, "x")],
        )
    },
    "cache_teacher(data): empty": (cache(data=(X[:0],)), "wrong"),
    "cache_teacher(data): other lengths": (cache(data=(X, Y[:31])), "wrong"),
    "cache_teacher(data): four": (cache(data=(X, Y, X, Y)), "wrong"),
    **{
        f"cache of a teacher with {value}, {dtype}": (
            cache(teacher=broken(value, hidden=16), dtype=dtype),
            "wrong",
        )
        for value in (NAN, INF, 1e5)
        for dtype in ("float16", "uint8")
    },
    "fit(cache, y)": (from_cache(lambda d, c: fit(c, Y, made=d)), "wrong"),
    "fit(cache, batch_size=0)": (
        from_cache(lambda d, c: fit(c, made=d, batch_size=0)),
        "wrong",
    ),
    "fit(cache of another teacher)": (
        from_cache(
            lambda d, c: fit(c, made=distiller(teacher=mlp(16, seed=9)))
        ),
        "wrong",
    ),
    "train_on_batch(cache)": (
        from_cache(lambda d, c: d.train_on_batch(c)),
        "wrong",
    ),
    **{
        f"cache.take({rows})": (
            from_cache(lambda d, c, rows=rows: c.take(rows)),
            "wrong",
        )
        for rows in ([-1], [99], [0.7], "x", [[0]], [NAN])
    },
}

GROUPS = {
    "models": (MODELS, True),
    "losses": (LOSSES, True),
    "temperatures": (TEMPERATURES, True),
    "callbacks": (CALLBACKS, False),
    "compile": (COMPILE, False),
    "inputs": (INPUTS, False),
    "labels": (LABELS, False),
    "weights": (WEIGHTS, False),
    "caches": (CACHES, True),
}


@pytest.fixture(autouse=True)
def _whole_tracebacks():
    """The last frame says whose an error is."""
    keras.config.disable_traceback_filtering()
    yield
    keras.config.enable_traceback_filtering()


@pytest.mark.parametrize("group", GROUPS)
def test_bad_inputs(tmp_path, outcomes, group):
    cases, own = GROUPS[group]
    found = {}
    for number, (name, (run, accepted)) in enumerate(cases.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        found[name] = outcome_of(run, folder, accepted=accepted, own=own)
        outcomes[found[name]] += 1
    bad = {name: what for name, what in found.items() if what in BAD}
    assert {n: what for n, what in bad.items() if n not in OPEN} == {}
