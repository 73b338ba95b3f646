"""How frozen graphs run."""

from __future__ import annotations

import contextlib
import os
import sys
import threading

import numpy as np
import pytest

from streamcam.engine.runtime.frozen_graph import FrozenGraph
from streamcam.tf import tf


def doubling() -> FrozenGraph:
    graph = tf.Graph()
    with graph.as_default():
        given = tf.compat.v1.placeholder(tf.float32, (2,), name="given")
        tf.add(given, given, name="doubled")
    return FrozenGraph(graph.as_graph_def(), ("given:0",), ("doubled:0",))


def niceness() -> dict[str, int]:
    """Of each thread of this process."""
    found = {}
    for name in os.listdir("/proc/self/task"):
        with contextlib.suppress(ProcessLookupError):  # one of an earlier test has ended meanwhile
            found[name] = os.getpriority(os.PRIO_PROCESS, int(name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
@pytest.mark.parametrize("threads_yield", [True, False])
def test_threads_of_a_model_on_a_cpu_have_low_priority_if_they_are_to_yield(threads_yield: bool) -> None:
    doubling().load("cpu")  # the first one starts threads that belong to TensorFlow as a whole
    before, own_niceness = niceness(), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    running = doubling().load("cpu", threads_yield=threads_yield)
    assert running(np.array([1, 2], np.float32))[0].tolist() == [2, 4]
    after = niceness()
    started = [after[name] for name in after.keys() - before.keys()]
    assert started
    assert all((nice > own_niceness) is threads_yield for nice in started)
    assert all(after[name] == before[name] for name in before.keys() & after.keys())
