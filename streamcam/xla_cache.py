"""Keep the programs that XLA compiles for GPUs.

They lie in the cache folder, by TensorFlow version and GPU, within a size. TensorFlow reads its flags once, so
`streamcam.tf` calls `keep_xla_programs` before it imports TensorFlow. Without an NVIDIA GPU nothing is set. XLA checks
each file against the program it is about to compile.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from collections.abc import MutableMapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .cache_folder import cache_folder, folder_refusal, remove_oldest

MAX_XLA_CACHE_BYTES = 2**30
"""Most bytes of all compiled programs at the start of a process; the least recently used are deleted. The embedded
model's takes 10 MiB on a CPU."""

_FOLDER = re.compile(r"xla-[\w.+]+-[0-9a-f]{8}")
_PREFIX = "streamcam"
_FLAGS_VARIABLE = "TF_XLA_FLAGS"
_DIRECTORY_FLAG = "--tf_xla_persistent_cache_directory"


def keep_xla_programs(
    environment: MutableMapping[str, str] | None = None, gpus: Sequence[str] | None = None
) -> Path | None:
    """Have TensorFlow keep and reuse what XLA compiles; call it before TensorFlow is imported.

    Flags that the user has set stay, and a cache of the user's own is left alone.

    Args:
        environment: environment variables to change; None takes those of the process.
        gpus: names of the GPUs; None asks the driver.

    Returns:
        The folder; None if nothing is kept.
    """
    environment = os.environ if environment is None else environment
    flags = environment.get(_FLAGS_VARIABLE, "").strip()
    gpus = visible_gpus() if gpus is None else gpus
    root = cache_folder()
    if not gpus or root is None or _DIRECTORY_FLAG in flags or (flags and not flags.startswith("-")):
        return None
    try:
        folder = root.absolute() / f"xla-{version('tensorflow')}-{_digest(gpus)}"
    except PackageNotFoundError:
        return None
    if re.search(r"[\s'\"]", str(folder)) or not _make_private(root, folder):
        return None
    prune(root)
    own = (
        f"{_DIRECTORY_FLAG}={folder}",
        f"--tf_xla_persistent_cache_prefix={_PREFIX}",
        "--tf_xla_persistent_cache_device_types=GPU,XLA_GPU_JIT",
        "--tf_xla_deterministic_cluster_names=true",  # a file is found by the name of its cluster
    )
    environment[_FLAGS_VARIABLE] = " ".join([*([flags] if flags else []), *own])
    return folder


def prune(root: Path, max_bytes: int = MAX_XLA_CACHE_BYTES) -> None:
    """Delete the least recently used programs beyond a size.

    Those of all versions and GPUs count together.

    Args:
        root: the cache folder.
        max_bytes: size to keep.
    """
    found = []
    with contextlib.suppress(OSError):
        folders = [path for path in root.iterdir() if _FOLDER.fullmatch(path.name) and not path.is_symlink()]
        for path in (path for folder in folders for path in folder.glob(f"{_PREFIX}*.pb")):
            with contextlib.suppress(OSError):
                status = path.lstat()
                found.append((max(status.st_atime, status.st_mtime), status.st_size, path))
    remove_oldest(found, max_bytes)


def visible_gpus(driver: Path = Path("/proc/driver/nvidia"), devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Return the names of this machine's NVIDIA GPUs without loading CUDA; empty if none is visible.

    Args:
        driver: folder in which the driver describes itself.
        devices: folder of the device files.
    """
    if not sys.platform.startswith("linux") or os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return ()
    names = []
    for path in sorted(driver.glob("gpus/*/information")):
        with contextlib.suppress(OSError):
            names += re.findall(r"^Model:\s*(.+?)\s*$", path.read_text(), re.MULTILINE)
    if not names and not any((devices / name).exists() for name in ("nvidiactl", "dxg")):
        return ()
    with contextlib.suppress(OSError):
        names.append((driver / "version").read_text().partition("\n")[0])
    return tuple(names or ["unknown"])


def _make_private(root: Path, folder: Path) -> bool:
    """Make the folder; return False if other users could have written into it."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return False
    return not folder.is_symlink() and not folder_refusal(root) and not folder_refusal(folder)


def _digest(gpus: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sorted(set(gpus))).encode()).hexdigest()[:8]
