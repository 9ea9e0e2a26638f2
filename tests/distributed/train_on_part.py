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
        yield
        distributed.destroy_process_group()
    else:
        keras.distribution.initialize(address, count, index)
        with keras.distribution.DataParallel(auto_shard_dataset=False).scope():
            yield


def train(distiller, path, seed):
    """Returns the examples of each batch, by epoch."""
    random.seed(seed)
    cache = Watched(path, (X, Y))
    cache.seen = {}
    distiller.fit(cache, batch_size=12, epochs=2, verbose=0)
    return list(cache.seen.values())


def run(path, index):
    """Returns what a training reads, what is said, and what it learns."""
    distiller = distil(net(16, 1), net(4, 2))
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        seen = train(distiller, path, seed=7 + index)
    said = [str(w.message) for w in found if "left out" in str(w.message)]
    weights = [w.tolist() for w in distiller.student.get_weights()]
    shard = keras_dts.TeacherCache(path, (X, Y), shard=(index, 3))
    try:
        distiller.fit(shard, batch_size=12, verbose=0)
    except ValueError as error:
        said.append(str(error))
    return seen, said, weights


if __name__ == "__main__":
    path, address = sys.argv[1:]
    count, index = (int(os.environ[n]) for n in ("WORLD_SIZE", "RANK"))
    with together(address, count, index):
        sys.stdout.write(json.dumps(run(path, index)))
