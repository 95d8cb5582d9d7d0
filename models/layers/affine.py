"""Computes affine maps of the plane from six unbounded numbers each, and composes them.

A map is a tuple of six tensors (`Planes`) of one shape: a, b, c, d, e, f of [[a, b, c], [d, e, f]].
It takes (x, y) to (ax + by + c, dx + ey + f).
"""

from __future__ import annotations

import math

from torch import Tensor

Planes = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def affine(numbers: Planes, *, similarity: bool = False) -> Planes:
    """Computes affine maps from two scales, angle, shear and translation.

    A scale is sigmoid(·) + 0.01, the angle is 2π times its number, and shear and translations are
    tanh(5 times their number), as in the authors' code of stacked capsules. A similarity transform
    has one scale and no shear.

    Args:
        numbers: six tensors of one shape: horizontal scale, vertical scale, angle, shear, x, y.
        similarity: whether to ignore the vertical scale and the shear, for similarity transforms.

    Returns:
        The maps, six tensors of the same shape.
    """
    width, height, turns, shear, x, y = numbers
    angle = 2 * math.pi * turns
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
    """Computes the map that applies `inner` first and `outer` second.

    Args:
        outer: six tensors.
        inner: six tensors, whose shape broadcasts with that of `outer`.

    Returns:
        Six tensors of the broadcast shape.
    """
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
