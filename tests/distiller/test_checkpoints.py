"""Runs that stop and go on, and checkpoints that know their teacher."""

import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, mlp, moved, number
from keras import layers

from keras_dts import DTS, Distiller

X, Y = blobs()


def distiller(teacher_seed=1, **kwargs):
    model = Distiller(mlp(16, seed=teacher_seed), mlp(6, seed=2), **kwargs)
    model.compile("adam", crossentropy())
    return model


class Kill(keras.callbacks.Callback):
    """Ends the training in the middle of its third epoch of six."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (2, 1):
            raise KeyboardInterrupt


def train(model, callbacks=()):
    model.fit(
        X,
        Y,
        batch_size=16,
        epochs=6,
        shuffle=False,
        callbacks=[*callbacks, DTS(4.0, 1.0, 4.0)],
        verbose=0,
    )
    return model


def test_backup_and_restore_ends_as_an_unbroken_run(tmp_path):
    backup = tmp_path / "backup"
    unbroken = train(distiller())
    with pytest.raises(KeyboardInterrupt):
        train(
            distiller(),
            [keras.callbacks.BackupAndRestore(backup), Kill()],
        )
    resumed = train(distiller(), [keras.callbacks.BackupAndRestore(backup)])
    for name in ("temperature", "progress"):
        assert number(getattr(resumed.temperature, name)) == pytest.approx(
            number(getattr(unbroken.temperature, name)), abs=1e-6
        )
    for one, two in zip(
        unbroken.get_weights(), resumed.get_weights(), strict=True
    ):
        np.testing.assert_allclose(two, one, atol=1e-6)


@pytest.mark.parametrize("save", ["save_weights", "checkpoint"])
def test_another_teacher_is_refused(tmp_path, save):
    path = tmp_path / "run.weights.h5"
    model = distiller()
    if save == "save_weights":
        train(model).save_weights(path)
    else:
        train(
            model,
            [keras.callbacks.ModelCheckpoint(path, save_weights_only=True)],
        )
    other = distiller(teacher_seed=3)
    before = copies(other.student)
    message = r"`teacher` must be the one that these weights were trained wi"
    with pytest.raises(ValueError, match=message):
        other.load_weights(path)
    assert moved(other.student, before) == 0.0
    same = distiller()
    same.load_weights(path)
    assert moved(same, copies(model)) == 0.0


def in_a_process(script, *arguments):
    """Runs a script that has this module's names, and returns its end."""
    here = pathlib.Path(__file__).parent
    folders = [str(here), str(here.parent / "support")]
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path[:0] = {folders}\n{script}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ},
    )


def test_weights_without_a_teacher_are_loaded_into_a_fresh_process(tmp_path):
    model = train(distiller())
    model.save_weights(tmp_path / "run.weights.h5")
    done = in_a_process(
        "from test_checkpoints import distiller, number\n"
        "model = distiller(); model.load_weights(sys.argv[1])\n"
        "print(round(number(model.temperature.temperature), 5))\n",
        tmp_path / "run.weights.h5",
    )
    assert done.returncode == 0, done.stderr
    temperature = round(number(model.temperature.temperature), 5)
    assert float(done.stdout) == temperature


@pytest.mark.torch  # no backend writes the file
def test_a_kill_while_weights_are_written_leaves_the_old_ones(tmp_path):
    path = tmp_path / "run.weights.h5"
    model = train(distiller())
    model.save_weights(path)
    done = in_a_process(
        "import os, signal\n"
        "from test_checkpoints import distiller, layers\n"
        "model = distiller()\n"
        "model.student.set_weights([0 * w for w in model.student.weights])\n"
        "def killed(self, store): os.kill(os.getpid(), signal.SIGKILL)\n"
        "layers.Dense.save_own_variables = killed\n"
        "model.save_weights(sys.argv[1])\n",
        path,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The half of a file is there, beside the old one.
    half = tmp_path / "part.run.weights.h5"
    assert half.exists()
    loaded = distiller()
    loaded.load_weights(path)
    assert moved(loaded, copies(model)) == 0.0
    # The next one to save takes it away.
    loaded.save_weights(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_weights_that_cannot_be_written_leave_the_old_ones(tmp_path):
    path = tmp_path / "run.weights.h5"
    model = distiller()
    model.save_weights(path)
    before = path.read_bytes()
    model.student.layers[-1].save_own_variables = None
    with pytest.raises(TypeError, match="not callable"):
        model.save_weights(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_link_to_a_checkpoint_stays_one(tmp_path):
    model = distiller()
    (tmp_path / "disk").mkdir()
    link = tmp_path / "last.weights.h5"
    link.symlink_to(tmp_path / "disk" / "run.weights.h5")
    model.save_weights(link)
    assert link.is_symlink()
    assert (tmp_path / "disk" / "run.weights.h5").exists()


def test_the_older_format_is_refused_by_name(tmp_path):
    message = r"`filepath` of a distiller must end .* `distiller.student.save\("
    with pytest.raises(ValueError, match=message):
        distiller().save(tmp_path / "run.h5")
    assert not [*tmp_path.iterdir()]


@pytest.mark.jax
@pytest.mark.tensorflow
def test_export_exports_the_student(tmp_path):
    import tensorflow as tf

    model = train(distiller())
    model.export(str(tmp_path / "run"), format="tf_saved_model", verbose=False)
    exported = tf.saved_model.load(str(tmp_path / "run"))
    np.testing.assert_allclose(
        exported.serve(X), model.student.predict(X, verbose=0), atol=1e-5
    )


def test_the_student_is_saved_alone(tmp_path):
    model = train(distiller())
    model.student.save(tmp_path / "student.keras")
    student = keras.models.load_model(tmp_path / "student.keras")
    np.testing.assert_allclose(
        student.predict(X, verbose=0), model.predict(X, verbose=0), atol=1e-6
    )


@keras.saving.register_keras_serializable(package="tests")
class Net(keras.Model):
    """A subclassed model that Keras can make anew from its config."""

    def __init__(self, hidden=6, **kwargs):
        super().__init__(**kwargs)
        self.hidden = layers.Dense(hidden, activation="relu", name="feat")
        self.out = layers.Dense(3, name="out")
        self.units = hidden

    def build(self, input_shape):
        self.hidden.build(input_shape)
        self.out.build((*input_shape[:-1], self.units))

    def call(self, x):
        return self.out(self.hidden(x))

    def get_config(self):
        return {**super().get_config(), "hidden": self.units}


def test_subclassed_models_are_saved_with_their_projector(tmp_path):
    teacher, student = Net(16), Net(6)
    teacher.build((None, 8))
    feature = keras.distillation.FeatureDistillation("mse", "feat", "feat")
    model = Distiller(teacher, student, feature)
    model.compile("adam", crossentropy())
    model.fit(X, Y, shuffle=False, verbose=0)
    model.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    assert moved(loaded, copies(model)) == 0.0
    assert sum("projector" in w.path for w in loaded.trainable_weights) == 2
    for each in (model, loaded):
        each.fit(X, Y, shuffle=False, verbose=0)
    for one, two in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(two, one, atol=1e-6)


def test_every_argument_survives_saving(tmp_path):
    schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 10, 0.1)
    model = Distiller(
        mlp(16, seed=1),
        mlp(6, seed=2),
        [keras.distillation.LogitsDistillation(2.0)],
        [schedule],
        schedule,
        name="mine",
        temperature=3.3,
        from_logits=(True, "auto"),
        student_inputs=twice,
    )
    model.compile("sgd", crossentropy())
    model.save(tmp_path / "run.keras")
    loaded = keras.models.load_model(tmp_path / "run.keras")
    config, again = model.get_config(), loaded.get_config()
    for models in ("teacher", "student"):
        # Keras notes anew how a model it loaded was made.
        config.pop(models)
        again.pop(models)
    assert again == config
    assert set(config) >= {"from_logits", "distillation_loss_weights"}
    assert loaded.name == "mine"
    assert loaded.student_inputs is twice


@keras.saving.register_keras_serializable(package="tests")
def twice(x):
    return 2 * x
