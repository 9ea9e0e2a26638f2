"""What `Phase` keeps and forgets, and what it refuses."""

import keras
import numpy as np
import pytest
from helpers import assert_same, blobs, copies, crossentropy, mlp, randomize
from keras import layers

from keras_dts import Distiller
from keras_dts.callbacks import Phase

(X, X_TEST), (Y, Y_TEST) = (np.split(a, [64]) for a in blobs(96))
BackupAndRestore = keras.callbacks.BackupAndRestore


def linear():
    return keras.Sequential([keras.Input((8,)), layers.Dense(3)])


def distiller(optimizer="sgd", seed=2, scale=0.5):
    student = randomize(linear(), seed, scale)
    model = Distiller(mlp(16, seed=1), student)
    model.compile(optimizer, crossentropy())
    return model


def fit(model, epochs, callbacks, **kwargs):
    options = {"validation_data": (X_TEST, Y_TEST), **kwargs}
    return model.fit(
        X,
        Y,
        epochs=epochs,
        shuffle=False,
        callbacks=callbacks,
        verbose=0,
        **options,
    )


def test_calls_of_fit_that_resume_in_their_own_way(tmp_path):
    def phase():
        return Phase(2, monitor="val_loss", mode="max", backup_dir=tmp_path)

    whole = distiller()
    fit(whole, 3, [phase()])
    assert [*tmp_path.iterdir()] == []
    model = distiller()
    for epoch in range(3):
        fit(model, epoch + 1, [phase()], initial_epoch=epoch)
    assert_same(model.student.get_weights(), whole.student.get_weights())


def test_a_new_training_forgets_the_one_before(tmp_path):
    lowest = []
    for scale in (0.1, 3.0):
        model = distiller(scale=scale)
        phase = Phase(2, monitor="val_loss", backup_dir=tmp_path)
        history = fit(model, 2, [phase]).history
        lowest.append(min(history["val_loss"]))
        (kept,) = (tmp_path / "phase-2").glob("*.h5")
        best = linear()
        best.load_weights(kept)
        best.compile(loss=crossentropy())
        value = best.evaluate(X_TEST, Y_TEST, verbose=0)
        assert value == pytest.approx(lowest[-1], rel=1e-6)
    assert lowest[0] < lowest[1]


def test_neither_nan_nor_the_phase_itself_is_the_best(tmp_path):
    phase = Phase(2, monitor="val_loss", backup_dir=tmp_path)
    phase.set_model(distiller())
    phase.read_fit({"validation_split": 0.5, "callbacks": [phase]})
    for epoch, value in enumerate([float("nan"), 2.0, 1.0]):
        phase.on_epoch_end(epoch, {"val_loss": value})
    names = sorted(file.name for file in (tmp_path / "phase-2").iterdir())
    assert names == ["epoch-1.weights.h5", "kept.json"]


def test_epochs_without_a_validation_are_not_the_best():
    model = distiller(keras.optimizers.SGD(0.0))
    at_begin = []

    class Change(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                at_begin.extend(copies(self.model.student))
            self.model.student.set_weights([w * 0 + epoch for w in weights])

    weights = copies(model.student)
    phase = Phase(3, monitor="val_loss", mode="max")
    fit(model, 4, [phase, Change()], validation_freq=2)
    assert_same(at_begin, [w * 0 + 1 for w in weights])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"begins": 0}, r"`begins` must be a whole .*begins=0"),
        ({"restore": "last"}, r"`restore` must be one of 'best', None.*'last'"),
        ({"mode": "up"}, r"`mode` must be one of .*mode='up'"),
        ({"monitor": "val_score"}, r"`mode` must be .*monitor='val_score'"),
        (
            {"restore": None, "reset_optimizer": False},
            r"`reset_optimizer` must be true .*reset_optimizer=False",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        Phase(**{"begins": 2, **arguments})


@pytest.mark.parametrize(
    ("monitor", "mode"),
    [
        ("val_accuracy", "max"),
        ("val_loss", "min"),
        ("val_teacher_kl", "min"),
        ("val_teacher_agreement", "max"),
    ],
)
def test_what_is_better_is_known_by_name(monitor, mode):
    assert Phase(2, monitor=monitor)._sign == Phase(2, mode=mode)._sign


def remote(folder):
    return BackupAndRestore(f"gs://{folder.name}")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (
            lambda p: [Phase(1)],
            {"validation_data": None},
            r"`validation_data` must be given .*monitor='val_accuracy'",
        ),
        (
            lambda p: [Phase(1)],
            {},
            r"`monitor` must be one of .*'val_loss'.*monitor='val_accuracy'",
        ),
        (
            lambda p: [Phase(1, monitor="val_loss")],
            {"initial_epoch": 1},
            r"`begins` must come after .*begins=1, and no .*'val_loss'",
        ),
        (
            lambda p: [BackupAndRestore(p), Phase(1, monitor="val_loss")],
            {},
            "`callbacks` must have `Phase` before `BackupAndRestore`",
        ),
        (
            lambda p: [Phase(1, monitor="val_loss"), remote(p)],
            {},
            r"`backup_dir` of `Phase` must be .*backup_dir='gs://",
        ),
        (
            lambda p: [Phase(1, monitor="val_loss") for _ in "ab"],
            {},
            "`callbacks` must have one `Phase` .*two with begins=1",
        ),
    ],
)
def test_a_fit_that_does_not_fit(make, options, message, tmp_path):
    model = distiller()
    with pytest.raises(ValueError, match=message):
        fit(model, 2, make(tmp_path), **options)


def test_a_plain_model_is_refused():
    student = linear()
    student.compile("sgd", crossentropy())
    with pytest.raises(ValueError, match=r"`keras_dts.Distiller.fit`\. Rec"):
        fit(student, 1, [Phase(1)])


def test_a_damaged_note_is_named(tmp_path):
    (tmp_path / "phase-1").mkdir()
    (tmp_path / "phase-1" / "kept.json").write_text("{")
    phase = Phase(1, monitor="val_loss", backup_dir=tmp_path)
    with pytest.raises(ValueError, match=r"`backup_dir` must hold .*kept.json"):
        fit(distiller(), 2, [phase])
