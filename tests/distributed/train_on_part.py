"""One process of a training from a cache, which prints what it read.

Arguments: the path of the cache, and the address of the first process. The
environment has the number of processes and which one this is, as `torchrun`
sets them.
"""

import contextlib
import json
import os
import random
import sys
import warnings

import keras
import numpy as np
from caches import distil, net

import keras_dts

X = np.random.default_rng(3).normal(size=(81, 8)).astype("float32")
Y = np.arange(81) % 12
# Whether Keras would divide the batches of a cache once more.
DIVIDES = hasattr(keras.distribution.DataParallel, "num_data_shards")


class Watched(keras_dts.TeacherCache):
    """A cache that keeps the examples of each batch, by epoch."""

    def _take(self, rows, epoch):
        batches = self.seen.setdefault(epoch, [])
        if rows.tolist() not in batches:  # Keras looks at the first one twice
            batches.append(rows.tolist())
        return super()._take(rows, epoch)


@contextlib.contextmanager
def together(address, count, index):
    """Joins the processes of a training for a while."""
    if keras.config.backend() == "torch":
        from torch import distributed

        distributed.init_process_group(
            "gloo",
            init_method=f"tcp://{address}",
            world_size=count,
            rank=index,
        )
        if DIVIDES:
            keras.distribution.set_distribution(
                keras.distribution.DataParallel()
            )
        yield
        # An exit soon after a message may end in an error of gloo's threads.
        distributed.barrier()
        distributed.destroy_process_group()
    else:
        keras.distribution.initialize(address, count, index)
        parallel = keras.distribution.DataParallel(auto_shard_dataset=DIVIDES)
        with parallel.scope():
            yield


def train(distiller, path, seed):
    """Returns the examples of each batch, by epoch."""
    random.seed(seed)
    cache = Watched(path, (X, Y))
    cache.seen = {}
    distiller.fit(cache, batch_size=12, epochs=2, verbose=0)
    return list(cache.seen.values())


def train_on_arrays(distiller):
    """Returns what is logged, and the size of each batch."""
    step, sizes = distiller.train_step, []

    def train_step(data):
        sizes.append(len(data[0]))
        return step(data)

    distiller.train_step = train_step
    run = distiller.fit(
        X,
        Y,
        sample_weight=np.linspace(0.5, 2.0, 81),
        batch_size=12,  # 5 batches, and one of 4; 17 examples validate
        epochs=2,
        shuffle=False,
        validation_split=0.2,
        verbose=0,
    )
    return run.history, sizes


def refusal(distiller, x, *args):
    """Returns the message of an error, or nothing."""
    try:
        distiller.fit(x, *args, batch_size=12, verbose=0)
    except ValueError as error:
        return str(error)
    return ""


class Uneven(keras.utils.PyDataset):
    """Batches, of which one process has more than the other."""

    def __init__(self, count):
        super().__init__()
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return X[:4], Y[:4]


def weights(distiller):
    return [w.tolist() for w in distiller.student.get_weights()]


def run(path, index):
    """Returns what a training reads, says and learns."""
    distiller = distil(net(16, 1), net(4, 2))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        seen = train(distiller, path, seed=7 + index)
    learned = weights(distiller)
    shard = keras_dts.TeacherCache(path, (X, Y), shard=(index, 3))
    said = {
        "seen": seen,
        "weights": learned,
        "warnings": [
            str(w.message) for w in found if w.category is UserWarning
        ],
        "shard": refusal(distiller, shard),
    }
    if keras.config.backend() == "torch":
        other = distil(net(16, 1), net(4, 2))
        said["logs"], said["sizes"] = train_on_arrays(other)
        said["arrays"] = refusal(distiller, X + index, Y)
        said["uneven"] = refusal(distiller, Uneven(4 * (index + 1)))
    return said


if __name__ == "__main__":
    path, address = sys.argv[1:]
    count, index = (int(os.environ[n]) for n in ("WORLD_SIZE", "RANK"))
    with together(address, count, index):
        sys.stdout.write("\n" + json.dumps(run(path, index)))
