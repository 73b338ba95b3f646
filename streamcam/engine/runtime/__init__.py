"""Run a frozen graph: devices, precision, autotuning, replicas, the compile cache."""
