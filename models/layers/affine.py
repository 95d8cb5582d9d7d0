"""Affine maps of the plane from six unbounded numbers each, and their composition.

A map is six planes (tensors of one shape): a, b, c, d, e, f of [[a, b, c], [d, e, f]].
"""

from __future__ import annotations

import math

from torch import Tensor

Planes = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def affine(numbers: Planes, *, similarity: bool = False) -> Planes:
    """Scale, rotation, shear and translation from two scales, angle, shear and translation.

    Scales are sigmoid(·)+.01, the angle 2π·, shear and translations tanh(5·), as the authors' code
    of stacked capsules has them; a similarity has one scale and no shear, and leaves two of the
    numbers unread.
    """
    width, height, turn, shear, x, y = numbers
    angle = 2 * math.pi * turn
    cos, sin = angle.cos(), angle.sin()
    x, y = (5 * x).tanh(), (5 * y).tanh()
    width = width.sigmoid() + 0.01
    if similarity:
        c, s = width * cos, width * sin
        return c, -s, x, s, c, y
    height = height.sigmoid() + 0.01
    c, s = height * cos, height * sin
    shear = (5 * shear).tanh()
    return width * cos + shear * s, shear * c - width * sin, x, s, c, y


def compose(outer: Planes, inner: Planes) -> Planes:
    """The map that applies `inner`, then `outer`; shapes broadcast."""
    a, b, c, d, e, f = outer
    p, q, r, s, t, u = inner
    return (
        a * p + b * s,
        a * q + b * t,
        a * r + b * u + c,
        d * p + e * s,
        d * q + e * t,
        d * r + e * u + f,
    )
