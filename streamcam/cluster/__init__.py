"""One video on many machines: the chunks of a run as tasks on a Ray cluster.

    address      connects to the cluster
    nodes        devices of the cluster
    actors       workers as Ray actors, replaced when they are lost
    scripts      what the driver asks of each worker
    schedule     which task comes next
    scale_pass   the scale that each chunk is drawn with
    worker       explains, draws and encodes chunks; knows nothing of Ray
    files, urls  inputs and outputs, on all machines
    storage      records and segments on the disk of the driver
    join         segments, audio and subtitles to one file
    run          `run_on_cluster`: the whole

Only this package imports Ray and fsspec.
"""

from __future__ import annotations
