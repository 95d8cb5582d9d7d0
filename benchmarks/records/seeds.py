"""Derives seeds from named axes, so that randomness does not depend on what ran before."""

from __future__ import annotations

import hashlib
import json


def derive_seed(base: int, /, **axes: int | str) -> int:
    """Derives a seed from a base seed and named axes; the seed is equal in all processes.

    `derive_seed(7, trial=3)` differs from `derive_seed(7, final=3)`. The order of the axes does
    not matter. A run uses the axes `init`, `order`, `epoch` with `step` (and `rank` on several
    devices), `data` and `probe`; a sweep uses `study`, `trial`, `place`, `final` and `base`.

    Args:
        base: the base seed.
        axes: values by the name of the axis, such as `epoch=3`.

    Returns:
        A non-negative integer of 63 bits.
    """
    text = json.dumps([base, sorted(axes.items())], separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
