"""A training that is stopped, and goes on with another number of replicas.

Prints what `resumed` returns in its last line. On TensorFlow a process has all
replicas, on PyTorch it is one of them. Arguments: the folder for what is saved,
and the ports at which PyTorch's processes meet, one for each epoch.
"""

import contextlib
import json
import os
import sys

import cases
import keras

import keras_dts

# How many replicas train each epoch.
SIZES = (4, 2, 1, 4)
EXAMPLES = 3 * cases.BATCH
ON_TENSORFLOW = keras.config.backend() == "tensorflow"
RANK = int(os.environ.get("RANK", "0"))


def strategy_of(count):
    """Returns a strategy of TensorFlow's, without collective operations."""
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(
        [f"CPU:{i}" for i in range(count)], tf.distribute.ReductionToOneDevice()
    )


@contextlib.contextmanager
def replicas(count, port):
    """Trains with a number of replicas, for a while.

    Yields:
        Opens the context in which models are made; `None` in a process of
        PyTorch that is none of the replicas.
    """
    if count <= RANK:
        yield None
    elif count == 1:
        yield contextlib.nullcontext
    elif ON_TENSORFLOW:
        yield strategy_of(count).scope
    else:
        import torch.distributed as dist

        dist.init_process_group(
            "gloo", f"tcp://localhost:{port}", rank=RANK, world_size=count
        )
        yield contextlib.nullcontext
        dist.barrier()  # until all have loaded what the first one replaces
        dist.destroy_process_group()


def train(folder, scope=contextlib.nullcontext, begin=0, end=cases.EPOCHS):
    """Trains some epochs from a cache in random order, and saves.

    The temperatures have a focus, which learns in which epoch it is.

    Args:
        folder: Where the cache is, and where to save.
        scope: Opens the context in which the distiller is made.
        begin: The first epoch. If it is not 0, what was saved is loaded.
        end: Of the epochs.

    Returns:
        What the training has come to, as lists.
    """
    case, path = cases.CASES["difficulty"], f"{folder}/last.weights.h5"
    case.options["run_eagerly"] = ON_TENSORFLOW
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)  # of the order
    with scope():
        distiller = cases.make(case)
        if begin:
            distiller.load_weights(path)
    distiller.fit(
        keras_dts.TeacherCache(f"{folder}/cache", examples(case)),
        batch_size=cases.BATCH,
        initial_epoch=begin,
        epochs=cases.EPOCHS,
        callbacks=[cases.Stop(end)],
        verbose=0,
    )
    if RANK == 0:
        distiller.save_weights(path)
    found = cases.found(distiller, {})
    return {name: array.tolist() for name, array in found.items()}


def examples(case):
    """Returns three batches."""
    return tuple(array[:EXAMPLES] for array in cases.data(case).values())


def resumed(folder, ports):
    """Trains at one go on one device, and with stops.

    Args:
        folder: Where to save.
        ports: At which PyTorch's processes meet, by epoch.

    Returns:
        What the first process came to at one go, `None` in others; and what
        came of the training with stops.
    """
    whole = parts = None
    if RANK == 0:
        case = cases.CASES["difficulty"]
        keras_dts.cache_teacher(
            cases.make(case).teacher,
            examples(case),
            f"{folder}/cache",
            verbose=False,
        )
        whole = train(folder)
    for epoch, (count, port) in enumerate(zip(SIZES, ports, strict=True)):
        with replicas(count, port) as scope:
            if scope is not None:
                parts = train(folder, scope, epoch, epoch + 1)
    return whole, parts


if __name__ == "__main__":
    if ON_TENSORFLOW:
        import tensorflow as tf

        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * max(SIZES),
        )
    found = resumed(sys.argv[1], sys.argv[2].split(","))
    sys.stdout.write(f"\n{json.dumps(found)}\n")
