"""`compare`: equal weights, equal order, and results of its trainings."""

import json
import time

import keras
import numpy as np
import pytest
from helpers import BACKEND, blobs, crossentropy, mlp

import keras_dts

X, Y = blobs()


def alone(teacher, student):
    return student


def drawing(teacher, student):
    """Draws random numbers before the training, as a training does."""
    compile_model(teacher)
    teacher.fit(X, Y, epochs=3, verbose=0)
    return student


def make_student():
    """A student whose weights and dropout depend on Keras's seed."""
    return keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(6, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3),
        ]
    )


def compile_model(model):
    model.compile(
        keras.optimizers.SGD(0.1), crossentropy(), metrics=["accuracy"]
    )


def compare(**changes):
    """Calls `compare` with defaults for all arguments."""
    options = {
        "teacher": mlp(16, seed=1),
        "make_student": make_student,
        "methods": {"alone": alone},
        "train": (X, Y),
        "test": (X, Y),
        "compile": compile_model,
        "epochs": 2,
        "batch_size": 16,
        "seeds": 1,
        "metric": "loss",
        "verbose": False,
    }
    return keras_dts.compare(**{**options, **changes})


class Watcher(keras.callbacks.Callback):
    """Records a student's initial weights, and the loss of every batch."""

    def __init__(self, student):
        super().__init__()
        self.student = student
        self.losses = []

    def on_train_begin(self, logs=None):
        self.weights = [np.array(w) for w in self.student.get_weights()]

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))


def test_methods_of_a_seed_have_equal_weights_and_batches():
    students, watchers = [], {}

    def make():
        students.append(make_student())
        return students[-1]

    def watch(method, seed):
        watchers[method, seed] = Watcher(students[-1])
        return [watchers[method, seed]]

    methods = {
        "one": alone,
        "KD": keras_dts.Distiller,
        "other": drawing,
        # With all weight on the labels, a distiller is the student alone.
        "labels": lambda t, s: keras_dts.Distiller(t, s, student_loss_weight=1),
    }
    found = compare(
        make_student=make, methods=methods, seeds=2, callbacks=watch
    )
    assert list(watchers) == [(m, s) for s in (0, 1) for m in methods]
    for seed in (0, 1):
        one, kd, other, labels = (watchers[name, seed] for name in methods)
        for same in (kd, other, labels):
            for a, b in zip(one.weights, same.weights, strict=True):
                np.testing.assert_array_equal(a, b)
        assert len(one.losses) == 8
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-6)
        np.testing.assert_allclose(one.losses, labels.losses, rtol=1e-5)
        assert not np.allclose(one.losses, kd.losses, rtol=1e-2)
    assert not np.allclose(
        watchers["one", 0].weights[0], watchers["one", 1].weights[0]
    )
    one, kd, other, _ = found.rows
    assert one.values == pytest.approx(other.values, rel=1e-6)
    assert abs(one.values[0] - one.values[1]) > 1e-4
    assert abs(one.values[0] - kd.values[0]) > 1e-4


def test_results_are_those_of_a_training_by_hand():
    found = compare(seeds=2, metric="accuracy")
    (row,) = found.rows
    for seed, value in enumerate(row.values):
        keras.utils.set_random_seed(seed)
        student = make_student()
        compile_model(student)
        keras.utils.set_random_seed(seed)
        student.fit(X, Y, batch_size=16, epochs=2, verbose=0)
        answers = student.predict(X, verbose=0).argmax(axis=-1)
        assert value == pytest.approx(np.mean(answers == Y), abs=1e-6)
    assert row.parameters == 8 * 6 + 6 + 6 * 3 + 3
    assert len(row.seconds) == 2
    assert min(row.seconds) > 0
    assert found.seeds == [0, 1]
    assert found.metric == "accuracy"
    assert found.teacher is None
    assert list(found.versions) == ["keras-dts", "keras", BACKEND, "python"]


def test_data_sets_and_sample_weights_are_taken():
    """Batches give the results of arrays; weights of 0 remove examples."""

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            return X[16 * i : 16 * i + 16], Y[16 * i : 16 * i + 16]

    def value(train, test):
        return compare(train=train, test=test, epochs=1).rows[0].values[0]

    in_batches = value(Batches(), Batches())
    assert in_batches == pytest.approx(value(Batches(), (X, Y)), rel=1e-5)
    weights = (np.arange(64) < 32).astype("float32")
    half = value(Batches(), (X, Y, weights))
    assert half == pytest.approx(value(Batches(), (X[:32], Y[:32])) / 2, 1e-5)


def test_progress_is_printed_or_not(capsys):
    compare(methods={"this": alone, "that": alone}, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    names = [line for line in lines if line.startswith("seed")]
    assert names == ["seed 1 of 1: this", "seed 1 of 1: that"]
    assert sum(line.startswith("2/2") for line in lines) == 2
    compare()
    assert capsys.readouterr().out == ""


class NeverFit(keras.Sequential):
    """A model that must not be trained."""

    def fit(self, *args, **kwargs):
        raise AssertionError("trained")


def no_student():
    return NeverFit([keras.Input((8,)), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": {}}, r"`methods` must be a dict.* Received: methods={}"),
        (
            {"methods": [alone]},
            r"`methods` must be a dictionary .* methods=\[<f",
        ),
        (
            {"methods": {"alone": alone, "KD": 3}},
            r"`methods\['KD'\]` must be a function. Received: 3 of type int",
        ),
        (
            {"methods": {"KD": mlp()}},
            r"`methods\['KD'\]` must be a function. .* of type Functional",
        ),
        (
            {"methods": {"alone": alone, "KD": lambda t, s: None}},
            r"`methods\['KD'\]` must return the model .* of type NoneType",
        ),
        ({"make_student": mlp()}, r"`make_student` must be a function"),
        ({"compile": "adam"}, r"`compile` must be a function. .* 'adam' of"),
        ({"seeds": 0}, r"`seeds` must be a whole .* Received: seeds=0"),
        ({"seeds": 1.5}, r"`seeds` must be a whole .* Received: seeds=1.5"),
        ({"seeds": True}, r"`seeds` must be a whole .* Received: seeds=True"),
        ({"epochs": 0}, r"`epochs` must be a whole .* Received: epochs=0"),
        ({"train": ()}, r"`train` must be .* Received: a tuple of 0"),
        ({"test": (X, Y, Y, Y)}, r"`test` must be .* Received: a tuple of 4"),
        (
            {"metric": "f1_score"},
            r"`metric` must be one that `evaluate` reports: '\w+', '\w+'. Rec"
            r"eived: metric='f1_score'",
        ),
    ],
)
def test_errors_come_before_any_training(changes, message):
    with pytest.raises(ValueError, match=message):
        compare(**{"make_student": no_student, **changes})


def test_an_interrupted_comparison_is_resumed(tmp_path):
    methods = {"alone": alone, "KD": keras_dts.Distiller}
    whole = compare(methods=methods, seeds=2)
    trained = []

    def stop_at_the_third(method, seed):
        trained.append((method, seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return []

    options = {"seeds": 2, "resume": tmp_path / "notes.json"}
    with pytest.raises(KeyboardInterrupt):
        compare(methods=methods, callbacks=stop_at_the_third, **options)
    trained.clear()

    def note(method, seed):
        trained.append((method, seed))
        return []

    found = compare(methods=methods, callbacks=note, **options)
    assert trained == [("alone", 1), ("KD", 1)]
    for row, expected in zip(found.rows, whole.rows, strict=True):
        assert row.values == pytest.approx(expected.values, abs=1e-6)
        assert row.parameters == expected.parameters
    # A finished comparison can get more methods.
    trained.clear()
    methods["again"] = alone
    found = compare(methods=methods, callbacks=note, **options)
    assert trained == [("again", 0), ("again", 1)]
    assert found.rows[2].values == pytest.approx(found.rows[0].values, abs=1e-6)


def test_the_file_of_another_comparison_is_refused(tmp_path):
    notes = tmp_path / "notes.json"
    compare(resume=notes)
    with pytest.raises(ValueError, match="one with epochs=2, not 3"):
        compare(resume=notes, epochs=3)
    with pytest.raises(ValueError, match="one with teacher="):
        compare(resume=notes, teacher=mlp(16, seed=2))


def as_written(**changes):
    """Notes as `compare` writes them, with changes to their one training."""
    training = {
        "method": "alone",
        "seed": 0,
        "parameters": 75,
        "value": 0.5,
        "seconds": 1.0,
    }
    changed = {k: v for k, v in {**training, **changes}.items() if v != "gone"}
    return {"about": {}, "trainings": [changed]}


DAMAGED = [
    "",
    "[]",
    "{}",
    "null",
    '{"about": {}, "trainings"',
    "[" * 100_000,
    {"about": [], "trainings": []},
    {"about": {}, "trainings": {}},
    {"about": {}, "trainings": None},
    {"about": {}, "trainings": ["alone"]},
    {"about": {}, "trainings": 2 * as_written()["trainings"]},
    as_written(method=None),
    as_written(seed="0"),
    as_written(seed=True),
    as_written(seed=-1),
    as_written(parameters=7.5),
    as_written(parameters="gone"),
    as_written(value="0.5"),
    as_written(value=None),
    as_written(seconds=[1.0]),
    as_written(seconds=float("nan")),
    as_written(seconds=float("inf")),
    as_written(other=1),
]


@pytest.mark.parametrize("number", range(len(DAMAGED)))
def test_damaged_notes_are_refused(tmp_path, number):
    notes = tmp_path / "notes.json"
    damaged = DAMAGED[number]
    text = damaged if isinstance(damaged, str) else json.dumps(damaged)
    notes.write_text(text)
    with pytest.raises(ValueError, match="`resume` must be a file that `comp"):
        compare(resume=notes)
    assert notes.read_text() == text


def test_notes_of_a_training_that_diverged_are_read(tmp_path):
    notes = tmp_path / "notes.json"
    diverged = {"value": float("nan")}
    compare(resume=notes)
    content = json.loads(notes.read_text())
    content["trainings"][0].update(diverged)
    notes.write_text(json.dumps(content))
    assert np.isnan(compare(resume=notes).rows[0].values[0])


def test_notes_that_cannot_be_written_are_refused_before_any_training(
    tmp_path,
):
    with pytest.raises(ValueError, match="`resume` must be a file that can be"):
        compare(resume=tmp_path / "missing" / "n.json", make_student=no_student)
    (tmp_path / "file").touch()
    folder, long = tmp_path, tmp_path / (300 * "n")
    for path in (folder, long, tmp_path / "file" / "n.json"):
        with pytest.raises(ValueError, match="`resume` must be a file that `c"):
            compare(resume=path, make_student=no_student)


def test_the_end_of_callbacks_is_not_timed(monkeypatch):
    now = [0.0]

    class Waits(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now[0] += 3.0

        def on_train_end(self, logs=None):
            now[0] += 100.0

    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    found = compare(callbacks=lambda method, seed: [Waits()])
    assert found.rows[0].seconds == [6.0]
