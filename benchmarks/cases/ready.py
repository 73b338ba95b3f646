"""How long a run takes until it explains: from the start of the process to the moment the model is ready.

python benchmarks/cases/ready.py import | CLIP OUT
"""

from __future__ import annotations

import json
import os
import sys
import time

START_TIME = float(os.environ["STARTED"])


def print_times() -> None:
    print(json.dumps({"wall": time.time() - START_TIME, "cpu": time.process_time()}), flush=True)


def main() -> None:
    if sys.argv[1] == "import":
        import tensorflow  # noqa: F401

        print_times()
        return
    import streamcam.cli.process  # noqa: F401  # as the command line does
    from streamcam.options import make_job
    from streamcam.pipeline import RunCallbacks, run

    run(make_job(sys.argv[1], sys.argv[2], overwrite=True), callbacks=RunCallbacks(on_ready=print_times))


if __name__ == "__main__":
    main()
