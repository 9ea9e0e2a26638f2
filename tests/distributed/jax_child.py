"""What `test_jax.py` runs in processes that have other devices.

Prints one JSON object in its last line. The environment names the functions
below that run, and a folder for what they save.
"""

import json
import os
import re
import signal
import sys
import tempfile

import cases
import keras
import numpy as np
from helpers import blobs, crossentropy, randomize
from keras import layers

import keras_dts
from keras_dts.distiller.state import groups_of

FOLDER = os.environ.get("FOLDER")
PROCESSES = int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", "1"))
# The units of a teacher, a number that nothing else has.
WIDE = 1024
PROCESS = int(os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0"))
# How a teacher is divided among the devices of a model.
DIVIDED = {
    "sequential/hidden/kernel": (None, "model"),
    "sequential/hidden/bias": ("model",),
    "sequential/dense/kernel": ("model", None),
}
# Those that compute in all ways, of the cases of all backends.
NAMES = ("reference", "after", "difficulty", "features", "chunks", "silent")


def data_parallel(count=None):
    """Divides batches among devices, after clearing what was before."""
    keras.utils.clear_session()
    devices = keras.distribution.list_devices()[:count]
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
    )


def model_parallel(layouts, replicas=1):
    """Returns a layout of all devices: by batches, and by matrices."""
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh(
        (replicas, len(devices) // replicas), ("batch", "model"), devices
    )
    layout_map = keras.distribution.LayoutMap(mesh)
    for path, axes in layouts.items():
        layout_map[path] = axes
    return keras.distribution.ModelParallel(
        layout_map=layout_map, batch_dim_name="batch", auto_shard_dataset=False
    )


def fit(distiller, x, **options):
    """Trains by 20 steps, and returns what came of it as lists."""
    history = distiller.fit(
        x,
        batch_size=cases.BATCH // PROCESSES,
        epochs=cases.EPOCHS,
        shuffle=False,
        verbose=0,
        **options,
    ).history
    found = cases.found(distiller, history)
    return {name: array.tolist() for name, array in found.items()}


def part(examples):
    """Returns the indices of this process's examples, batch by batch."""
    rows = np.arange(examples).reshape(-1, PROCESSES, cases.BATCH // PROCESSES)
    return rows[:, PROCESS].reshape(-1)


def run(name):
    """Trains a case, from this process's part of each batch."""
    keras.utils.set_random_seed(3)  # for projectors
    case = cases.CASES[name]
    rows = part(case.rows)
    data = {k: v if v is None else v[rows] for k, v in cases.data(case).items()}
    return fit(cases.make(case), **data)


def run_cached():
    distiller = cases.make(cases.CASES["reference"])
    with tempfile.TemporaryDirectory() as path:
        cache = keras_dts.cache_teacher(
            distiller.teacher, pair(), path, verbose=False
        )
        return fit(distiller, cache)


def pair():
    """Returns the inputs and labels of a case."""
    data = cases.data(cases.CASES["reference"])
    return data["x"], data["y"]


def alone():
    """Runs all cases on one device."""
    return {name: run(name) for name in NAMES} | {"cached": run_cached()}


def shared():
    """Runs all cases on all devices of this process."""
    data_parallel()
    return alone()


def some_shared():
    """Runs three cases on the devices of all processes."""
    data_parallel()
    return {name: run(name) for name in ("reference", "features", "chunks")}


def divided(replicas):
    """Returns a distiller whose teacher is divided among the devices."""
    keras.utils.clear_session()
    keras.distribution.set_distribution(model_parallel({}, replicas))
    return cases.make(
        cases.CASES["reference"],
        teacher_scope=model_parallel(DIVIDED, replicas).scope(),
    )


def shards(distiller):
    """Returns the shapes of the parts of the teacher's weights."""
    return {
        v.path: sorted({s.data.shape for s in v.value.addressable_shards})
        for v in distiller.teacher.weights
        if v.path in DIVIDED
    }


def models_divided():
    """Trains beside teachers that are divided among the devices, and saves."""
    found = {}
    for replicas in (1, 2):
        distiller = divided(replicas)
        before = shards(distiller)
        x, y = pair()
        found[str(replicas)] = {
            "run": fit(distiller, x, y=y),
            "before": before,
            "after": shards(distiller),
        }
        distiller.save(f"{FOLDER}/divided_{replicas}.keras")
    return found


def compiled_step():
    """Says what one compiled step with a wide teacher needs."""
    import jax

    keras.utils.clear_session()
    keras.distribution.set_distribution(model_parallel({}))
    with model_parallel(DIVIDED).scope():
        teacher = cases.classifier(WIDE, None)
    distiller = keras_dts.Distiller(teacher, cases.classifier(6, None))
    distiller.compile("sgd", crossentropy())
    x, y = (a[: cases.BATCH] for a in pair())
    distiller.fit(x, y, batch_size=cases.BATCH, verbose=0)
    state = tuple([v.value for v in group] for group in groups_of(distiller))
    step = jax.jit(distiller.train_step).lower(state, (x, y)).compile()
    shapes = re.findall(r"\[([\d,]+)\]", step.as_text())
    return {
        "whole": [s for s in shapes if str(WIDE) in s.split(",")],
        "parts": [s for s in shapes if str(WIDE // 4) in s.split(",")],
        "arguments": step.memory_analysis().argument_size_in_bytes,
        "teacher": 4 * teacher.count_params(),
    }


def normalized(width, seed):
    """A model with a variable that the other model has by the same path."""
    inputs = keras.Input((8,))
    x = layers.Dense(width, activation="relu", name="feat")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    outputs = layers.Dense(3, name="out")(x)
    return randomize(keras.Model(inputs, outputs), seed)


def train_on(devices, *callbacks, end=5, load=None):
    """Trains on some devices, until epoch `end` of 5.

    What was saved in `load` goes on with the epoch that comes next.
    """
    data_parallel(devices)
    distiller = keras_dts.Distiller(
        normalized(8, 1),
        normalized(4, 2),
        temperature=keras_dts.DynamicTemperature(8.0, 1.0, 9.0),
    )
    distiller.compile("adam", crossentropy())
    if load:
        distiller.load_weights(load)
    steps = 64 // cases.BATCH
    distiller.fit(
        *(array[part(64)] for array in blobs(64)),
        batch_size=cases.BATCH // PROCESSES,
        shuffle=False,
        initial_epoch=int(distiller.optimizer.iterations) // steps,
        epochs=5,
        callbacks=[*callbacks, cases.Stop(end)],
        verbose=0,
    )
    models = (*distiller.policies, distiller.student)
    return flat([v for model in models for v in model.weights])


def flat(variables):
    return [np.ravel(v.numpy()).tolist() for v in variables]


def saving(name):
    """Returns a callback that saves, and the path that it saves to."""
    path = f"{FOLDER}/{name}"
    return keras.callbacks.OrbaxCheckpoint(path, save_on_background=False), path


def resumed():
    """Trains at one go on one device, and with stops on 4, 2, 1 and 4."""
    load = None
    for end, devices in zip((2, 3, 4, 5), (4, 2, 1, 4), strict=True):
        save, path = saving("stopped")
        found = train_on(devices, save, end=end, load=load)
        load = path
    return [train_on(1), found]


def killed():
    """Trains until the second process is killed in the third epoch."""

    def kill(epoch, logs=None):
        if (epoch, PROCESS) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)

    save, _ = saving("killed")
    train_on(None, save, keras.callbacks.LambdaCallback(on_epoch_begin=kill))


def after_killed():
    """Trains at one go, and goes on after `killed`."""
    _, path = saving("killed")
    return [train_on(1), train_on(2, load=path)]


def saved():
    """Saves in all ways beside a teacher that no process has whole."""
    data = pair()
    distiller = divided(replicas=1)
    save = keras.callbacks.ModelCheckpoint(
        f"{FOLDER}/last.weights.h5", save_weights_only=True
    )
    orbax = keras.callbacks.OrbaxCheckpoint(
        f"{FOLDER}/orbax", save_on_background=False
    )
    distiller.fit(*data, batch_size=16, verbose=0, callbacks=[save, orbax])
    distiller.save_weights(f"{FOLDER}/run.weights.h5")
    keras_dts.cache_teacher(
        distiller.teacher, data, f"{FOLDER}/{PROCESS}", verbose=False
    )
    try:
        distiller.save(f"{FOLDER}/{PROCESS}.keras")
    except ValueError as error:
        refused = str(error)
    end = flat(distiller.student.weights)
    other = divided(replicas=1)
    other.load_weights(f"{FOLDER}/orbax")
    loaded = flat(other.student.weights)
    return {"refused": refused, "end": end, "loaded": loaded}


if __name__ == "__main__":
    if "HEARTBEAT" in os.environ:
        import jax

        address = os.environ["KERAS_DISTRIBUTION_JOB_ADDRESSES"]
        beat = int(os.environ["HEARTBEAT"])
        options = {"heartbeat_timeout_seconds": beat}
        jax.distributed.initialize(address, PROCESSES, PROCESS, **options)
        keras.utils.set_random_seed(3)  # the same, as by Keras's `initialize`
    elif PROCESSES > 1:
        keras.distribution.initialize()
    tasks = os.environ["TASKS"].split()
    found = {task: globals()[task]() for task in tasks}
    # In a line of its own, after what the backend has printed.
    sys.stdout.write(f"\n{json.dumps(found)}\n")
