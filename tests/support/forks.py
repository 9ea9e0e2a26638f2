"""Processes that an attack starts, and that may crash or be killed."""

import os
import signal

from keras_dts.cache import CacheInUseError, DamagedCacheError

OUTCOMES = ("fine", "named", "in use", "obscure")


def start(function, *args):
    """Starts a process that calls a function, and returns its number."""
    pid = os.fork()
    if pid:
        return pid
    outcome = "obscure"
    try:
        function(*args)
        outcome = "fine"
    except CacheInUseError:
        outcome = "in use"
    except DamagedCacheError:
        outcome = "named"
    except ValueError as error:
        if str(error).startswith("`"):
            outcome = "named"
    finally:
        os._exit(OUTCOMES.index(outcome))


def outcome_of(pid):
    """Waits for a process, and returns how it ended."""
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return OUTCOMES[os.WEXITSTATUS(status)]
