"""Shapes and smooth random fields as functions of millimetres, of which the phantom's anatomy is made.

A shape is an array that is positive inside and close to the distance in mm to its surface, so that shapes can be
joined, cut, grown and given soft edges with plain arithmetic. Nothing depends on the voxel grid.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Field = NDArray[np.floating[Any]]
Triple = tuple[float, float, float]
Node = tuple[float, float, float, float]  # x, y, z, radius
_FAR = -1000.0


@dataclass(frozen=True, eq=False)
class Points:
    """Where a shape is asked for: x, y, z in mm, arrays that broadcast to [X, Y, Z], and that grid's spacing in mm."""

    x: Array
    y: Array
    z: Array
    spacing: float


def ellipsoid(p: Points, centre: Triple, radii: Triple, tilt: float = 0) -> Array:
    """An ellipsoid, or one on either side (in |x|) if its centre's x is not 0; tilt turns it about z, in radians."""
    x, y, z = np.abs(p.x) - centre[0], p.y - centre[1], p.z - centre[2]
    if tilt:
        x, y = float(np.cos(tilt)) * x + float(np.sin(tilt)) * y, float(np.cos(tilt)) * y - float(np.sin(tilt)) * x
    u, v, w = x / radii[0], y / radii[1], z / radii[2]
    near = np.sqrt(u * u + v * v + w * w)
    u, v, w = u / radii[0], v / radii[1], w / radii[2]
    steep = np.sqrt(u * u + v * v + w * w)
    small = 0.01  # keeps the centre, where both vanish, finite
    return np.asarray((1 - near) * (near + small) / (steep + small / max(radii)), dtype=np.float32)


def tube(p: Points, *nodes: Node) -> Array:
    """A chain of tapering round segments from node to node, on both sides (in |x|); "far" where z is 20 mm off."""
    side = np.abs(p.x)
    best = np.full(np.broadcast_shapes(p.x.shape, p.y.shape, p.z.shape), _FAR, dtype=np.float32)
    low, high = float(p.z.min()), float(p.z.max())
    for a, b in itertools.pairwise(nodes):
        if max(a[2] + a[3], b[2] + b[3]) + 20 < low or min(a[2] - a[3], b[2] - b[3]) - 20 > high:
            continue  # the grid is painted in slabs, and most of them are far from most tubes
        ax, ay, az = b[0] - a[0], b[1] - a[1], b[2] - a[2]
        dx, dy, dz = side - a[0], p.y - a[1], p.z - a[2]
        t = np.clip((dx * ax + dy * ay + dz * az) / (ax * ax + ay * ay + az * az), 0, 1)
        dx, dy, dz = dx - t * ax, dy - t * ay, dz - t * az
        np.maximum(best, a[3] + t * (b[3] - a[3]) - np.sqrt(dx * dx + dy * dy + dz * dz), out=best)
    return best


def both(a: Field, b: Field, blend: float) -> Array:
    """Intersection, its edges rounded over `blend` mm (polynomial smooth minimum)."""
    overlap = np.maximum(blend - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - overlap * overlap / (4 * blend), dtype=np.float32)


def either(a: Field, b: Field, blend: float) -> Array:
    """Union, its creases filled over `blend` mm."""
    return -both(-a, -b, blend)


def soft(distance: Array, p: Points, width: float = 1.3) -> Array:
    """The share of a voxel that lies inside a shape, 0..1: partial volume over `width` mm, at least one voxel."""
    return np.asarray(np.clip(distance / max(width, p.spacing) + 0.5, 0, 1), dtype=np.float32)


def gradient(field: Array, spacing: float) -> tuple[Array, Array, Array]:
    """Central differences along x, y, z, per mm."""
    gx, gy, gz = (np.asarray(g, dtype=np.float32) for g in np.gradient(field, spacing))
    return gx, gy, gz


def slope(field: Array, spacing: float) -> Array:
    """Length of the gradient, per mm."""
    gx, gy, gz = gradient(field, spacing)
    return np.asarray(np.sqrt(gx * gx + gy * gy + gz * gz), dtype=np.float32)


def sheet(field: Array, spacing: float) -> Array:
    """Distance in mm, without sign, to the surface on which a field [X, Y, Z] is 0, to first order."""
    return np.asarray(np.abs(field) / (slope(field, spacing) + 0.02), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field of mean 0 and unit variance: plane waves of nearly one length in random directions."""

    vectors: NDArray[np.float64]  # [n, 3], radians per mm
    phases: NDArray[np.float64]  # [n]

    @property
    def slope(self) -> float:
        """Its typical gradient, per mm."""
        return float(np.linalg.norm(self.vectors, axis=1).mean())

    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        total = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=np.float32)
        for (kx, ky, kz), phase in zip(self.vectors.tolist(), self.phases.tolist(), strict=True):
            total += np.cos(kx * x + (ky * y + (kz * z + phase)))
        total *= float(np.sqrt(2 / len(self.phases)))
        return total


def waves(rng: np.random.Generator, length: float, count: int, stretch: Triple = (1, 1, 1)) -> Waves:
    """Draw a field of `count` waves about `length` mm long; `stretch` makes its features longer along x, y, z."""
    direction = rng.normal(size=(count, 3)) / stretch
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    number = 2 * np.pi / length * rng.uniform(0.85, 1.15, (count, 1))
    return Waves(direction * number, rng.uniform(0, 2 * np.pi, count))


def fold(p: Points, hull: Array, lean: Array, field: Waves, depth: Array, width: float) -> Array:
    """Tissue under a smooth hull [X, Y, Z], cut by winding clefts that go inwards to `depth` mm: gyri and sulci.

    The field is read at each point's foot on the hull, so that its zero lines become walls perpendicular to the
    surface; `lean` (mm, added to the hull for that purpose) bends the walls. width: half the width of a cleft in its
    depth, mm; it is doubled at the surface.
    """
    deepest = float(depth.max())  # not each point's: where the field is cut off must not look like a wall
    near = (hull > -4) & (hull < deepest + 4)
    gx, gy, gz = (g[near] for g in gradient(hull + lean, p.spacing))
    steep = gx * gx + gy * gy + gz * gz
    step = hull[near] / (steep + 0.05)
    values = np.full_like(hull, 10)
    values[near] = field(p.x[near] - step * gx, p.y[near] - step * gy, p.z[near] - step * gz)
    reach = np.zeros_like(hull)
    reach[near] = depth[near] * np.clip(3 * steep - 0.5, 0, 1)  # near the middle of a part its foot is uncertain
    crowded = np.maximum(slope(values, p.spacing) / field.slope - 4, 0)  # where many feet meet, walls would form a fan
    opening = width * (1 + np.exp(-np.maximum(hull, 0) / 4))
    cleft = np.hypot(sheet(values, p.spacing) + crowded, np.maximum(hull - reach, 0)) - opening
    return np.asarray(np.minimum(hull - 0.3, np.where(near, cleft, hull)), dtype=np.float32)
