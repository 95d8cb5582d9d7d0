"""Counts the workers that this machine has cores and open files for. Importing this is fast."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

FILES_PER_WORKER = 9
"""Files that a driver holds open for a local worker process: pipes, and the process itself."""

FILES_OF_DRIVER = 150
"""Files that a driver holds open beside those of its workers, with room to spare."""

_MOST_FILES = 65_536
"""The largest limit that is requested: some systems refuse an unlimited one."""


def usable_cores(root: Path = Path("/")) -> int:
    """Counts the cores that this process may use.

    A container or a batch system limits them by affinity, or by a quota of processor time.

    Args:
        root: the root of the file system, below which Linux shows the quotas.

    Returns:
        The number of cores of the affinity mask; if a quota is smaller, the quota rounded up.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Yields the quota, in cores, of each control group that holds this process."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mounts = [root / "sys/fs/cgroup" / controllers] if controllers else []
        mounts += [root / "sys/fs/cgroup" / name for name in ("cpu", "cpu,cpuacct")]
        if not controllers:
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
        # A container mounts its own group as the root, but shows the path from outside.
        inside = Path(path.lstrip("/"))
        for mount in mounts:
            for group in (inside, *inside.parents):
                yield from _quota(mount / group)


def _quota(group: Path) -> Iterator[float]:
    """Yields the quota of one control group, of version 2 or 1, in cores; nothing without one."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        except OSError:
            return
    try:
        if int(quota) > 0:
            yield int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max" means no quota
        return


def raise_file_limit() -> int | None:
    """Raises this process's limit of open files as far as the system permits.

    Returns:
        The new limit; None if the system has no limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, max(soft, _MOST_FILES))
    if soft == resource.RLIM_INFINITY:
        return None
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(soft, most)


def most_processes() -> int | None:
    """Counts the local worker processes that the limit of open files allows.

    Returns:
        The number; None if the number is not limited.
    """
    limit = raise_file_limit()
    return None if limit is None else max(1, (limit - FILES_OF_DRIVER) // FILES_PER_WORKER)
