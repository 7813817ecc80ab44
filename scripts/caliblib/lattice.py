# SPDX-License-Identifier: BSD-3-Clause
"""A lattice through spots: two vectors and an origin, for arrays that are turned, sheared or spaced
unevenly in both directions, with sites missing and with spots that belong to none.

Differences between neighbouring spots that come again and again are the vectors; the shortest two
make the cell. From the middle of the array outwards each spot gets a place, and a least-squares fit
through all places so far says where the next are."""

from typing import NamedTuple

import numpy as np
from scipy import sparse, spatial
from scipy.sparse import csgraph

from caliblib.layout import Lattice
from dipformat import Trouble

_NEIGHBOURS = 12
# How far, in cells, a spot may be from its place.
_NEAR = 0.3
_ROOT_MEAN_MAX = 0.12
_ON_LATTICE_MIN = 0.5
_NEIGHBOURLY_MIN = 0.5
# A spot, and a place where none stood out, count from these shares of the median height on.
_FAINT = 0.15
_SEEN = 0.3
# The least part of a rectangle that must be there to take the rest of it for dim sites.
_WHOLE = 0.9


class Found(NamedTuple):
    """lattice; i, j: the places of the sites; missing: of them, how many no spot was seen at;
    scatter: root mean square distance of the spots from their places, in pixels."""
    lattice: Lattice
    i: np.ndarray
    j: np.ndarray
    missing: int
    scatter: float


def _repeated(where, tree):
    """Differences between neighbours that many spots share, shortest first, and the share of spots
    that have a neighbour there."""
    distance, neighbour = tree.query(where, k=min(_NEIGHBOURS + 1, len(where)))
    step = where[neighbour[:, 1:]] - where[:, None]
    nearest = np.median(distance[:, 1])
    tolerance = 0.2 * nearest
    step = step.reshape(-1, 2)
    step = step[(step[:, 1] > 0) | ((step[:, 1] == 0) & (step[:, 0] > 0))]
    bins, votes = np.unique(np.rint(step / tolerance).astype(int), axis=0, return_counts=True)
    found = []
    for centre in bins[np.argsort(-votes, kind="stable")[:64]] * tolerance:
        for _ in range(3):
            close = step[np.linalg.norm(step - centre, axis=1) < 1.5 * tolerance]
            if len(close) == 0:
                break
            centre = close.mean(axis=0)
        if not any(np.linalg.norm(centre - other) < tolerance for other, _ in found):
            hit = tree.query(where + centre)[0] < 1.5 * tolerance
            found.append((centre, hit.mean()))
    return sorted(found, key=lambda entry: np.linalg.norm(entry[0]))


def _cell(repeated):
    """The two shortest vectors that are shared widely and do not point the same way; the second is
    None for a single row."""
    most = max(share for _, share in repeated)
    wide = [vector for vector, share in repeated if share >= 0.5 * most]
    first = wide[0]
    for vector in wide[1:]:
        turned = abs(first[0] * vector[1] - first[1] * vector[0])
        if turned > 0.3 * np.linalg.norm(first) * np.linalg.norm(vector):
            return first, vector
    return first, None


def _canonical(first, second):
    """The vectors of the same lattice that lie best along columns and rows: a to the right, b
    down. The limit between both is at 50 degrees, since 45 is a usual angle."""
    longest = 1.1 * max(np.linalg.norm(first), np.linalg.norm(second))
    choices = [v for v in (first, second, first + second, first - second)
               if np.linalg.norm(v) <= longest]
    choices += [-v for v in choices]

    def off(v, angle):
        return abs((np.degrees(np.arctan2(v[0], v[1])) - angle + 180) % 360 - 180)

    a = min(choices, key=lambda v: off(v, 5))
    area = abs(first[0] * second[1] - first[1] * second[0])
    rest = [v for v in choices if abs(abs(a[0] * v[1] - a[1] * v[0]) - area) < 0.01 * area]
    return a, min(rest, key=lambda v: off(v, 85))


def _fit(places, where):
    """origin, a, b by least squares; a single row leaves b as it is."""
    design = np.concatenate([np.ones((len(places), 1)), places], axis=1)
    solution, *_ = np.linalg.lstsq(design, where, rcond=None)
    return solution


def _places(where, solution):
    """Real-valued (i, j) of points."""
    return (where - solution[0]) @ np.linalg.inv(solution[1:])


def _grow(where, tree, a, b, single):
    """Fit from the middle outwards. Returns origin, a, b as rows."""
    counts = len(where)
    middle = where.mean(axis=0)
    steps = np.array([a, -a] if single else [a, -a, b, -b])
    hits = sum((tree.query(where + step)[0] < 0.3 * np.linalg.norm(a)).astype(int)
               for step in steps)
    best = np.flatnonzero(hits == hits.max())
    seed = where[best[np.linalg.norm(where[best] - middle, axis=1).argmin()]]
    solution = np.array([seed, a, b])
    reach = 2.5 * max(np.linalg.norm(a), 0 if single else np.linalg.norm(b))
    far = np.linalg.norm(where - seed, axis=1)
    while True:
        real = _places(where, solution)
        whole = np.rint(real)
        use = (far <= reach) & (np.abs(real - whole).max(axis=1) < _NEAR)
        if single:
            use &= whole[:, 1] == 0
        if use.sum() >= (2 if single else 3) and len(np.unique(whole[use], axis=0)) == use.sum():
            columns = [0] if single else [0, 1]
            if np.linalg.matrix_rank(whole[use][:, columns] - whole[use][:1, columns]) == len(
                    columns):
                found = _fit(whole[use][:, columns], where[use])
                solution[:len(found)] = found
        if (far <= reach).sum() == counts:
            return solution
        reach *= 1.5


def _assign(where, height, solution, single):
    """Whole (i, j) of the spots that are on the lattice, one spot for each place, and their
    numbers."""
    real = _places(where, solution)
    whole = np.rint(real).astype(int)
    off = np.abs(real - whole).max(axis=1)
    use = np.flatnonzero((off < _NEAR) & ((whole[:, 1] == 0) | (not single)))
    if len(use):
        use = use[height[use] >= _FAINT * np.median(height[use])]
    chosen = {}
    for index in use:
        place = tuple(whole[index])
        if place not in chosen or off[index] < off[chosen[place]]:
            chosen[place] = index
    places = np.array(sorted(chosen, key=lambda p: p[::-1]), dtype=int).reshape(-1, 2)
    index = np.array([chosen[tuple(p)] for p in places], dtype=int)
    together = _largest_cluster(places, single) if len(places) else slice(None)
    return places[together], index[together]


def _largest_cluster(places, single):
    """Which of the places hang together with most others, with at most one missing between two, or
    four of a single row: a hot pixel may lie on the lattice, far from the array."""
    tree = spatial.cKDTree(places)
    pairs = tree.query_pairs(5.1 if single else 2.1, p=np.inf, output_type="ndarray")
    links = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(places),) * 2)
    label = csgraph.connected_components(links, directed=False)[1]
    return label == np.bincount(label).argmax()


def _there(places, peaks, solution, height):
    """Where in the rectangle of all places there is a spot, (na, nb) bools: those assigned, and
    those where the image is bright although nothing stood out as a peak."""
    span = places.max(axis=0) + 1
    i, j = np.indices(span)
    points = solution[0] + i[..., None] * solution[1] + j[..., None] * solution[2]
    there = (peaks.height_at(points.reshape(-1, 2)) >= _SEEN * height).reshape(span)
    there[tuple(places.T)] = True
    return there


def _with_missing(there):
    """All places of the array: those with a spot, and those without one that lie between others
    along both directions, or the whole of a rectangle that is nearly full."""
    inside = np.ones_like(there)
    if there.mean() < _WHOLE:
        for axis in (0, 1):
            before = np.maximum.accumulate(there, axis=axis)
            after = np.flip(np.maximum.accumulate(np.flip(there, axis), axis=axis), axis)
            inside &= before & after
        inside |= there
    j, i = np.nonzero(inside.T)
    return i, j, int(inside.sum() - there.sum())


def _neighbourly(places, single):
    """The share of places that have a neighbour along each direction."""
    there = {tuple(place) for place in places}
    good = [((i - 1, j) in there or (i + 1, j) in there)
            and (single or (i, j - 1) in there or (i, j + 1) in there) for i, j in there]
    return np.mean(good)


def _settle(where, height, solution, single):
    """Assign and fit by turns. Returns the solution, the places and the numbers of their spots."""
    for _ in range(4):
        places, index = _assign(where, height, solution, single)
        if len(places) < 4 or (not single and np.linalg.matrix_rank(places - places[0]) < 2):
            break
        found = _fit(places[:, :1] if single else places, where[index])
        solution[:len(found)] = found
        if single:
            solution[2] = solution[1][1], -solution[1][0]
    return solution, places, index


def find_lattice(peaks, told):
    """The lattice through peaks. told: what the image is of, for the message when there is none."""
    where = peaks.where
    if len(where) < 4:
        raise Trouble(f"{told}: {len(where)} spots in the averaged image; expected 4 or more on a "
                      "lattice; name the sites with --grid")
    tree = spatial.cKDTree(where)
    first, second = _cell(_repeated(where, tree))
    single = second is None
    a, b = (first, np.array([first[1], -first[0]])) if single else _canonical(first, second)
    solution, places, index = _settle(where, peaks.height, _grow(where, tree, a, b, single),
                                      single)
    _check(places, index, peaks, solution, single, told)
    scatter = where[index] - solution[0] - places @ solution[1:]
    corner = places.min(axis=0)
    solution[0] += corner @ solution[1:]
    there = _there(places - corner, peaks, solution, np.median(peaks.height[index]))
    i, j, missing = _with_missing(there)
    lattice = Lattice(*(tuple(map(float, row)) for row in solution), int(i.max()) + 1,
                      int(j.max()) + 1)
    return Found(lattice, i, j, missing, float(np.sqrt((scatter**2).sum(axis=1).mean())))


def _check(places, index, peaks, solution, single, told):
    """Refuse a lattice that the spots do not lie on."""
    bright = int((peaks.height >= _FAINT * np.median(peaks.height)).sum())
    remedy = "name the sites with --grid"
    if len(places) < 4 or len(index) < _ON_LATTICE_MIN * bright:
        raise Trouble(f"{told}: no lattice fits: {len(index)} of {bright} spots in the averaged "
                      f"image lie on the best one; expected {_ON_LATTICE_MIN:.0%} or more; {remedy}")
    scatter = float(np.sqrt(((_places(peaks.where[index], solution) - places)**2).mean()))
    if scatter > _ROOT_MEAN_MAX:
        raise Trouble(f"{told}: no lattice fits: {len(index)} spots lie {scatter:.2f} cells beside "
                      f"their places; expected {_ROOT_MEAN_MAX} or less; {remedy}")
    share = _neighbourly(places, single)
    if share < _NEIGHBOURLY_MIN:
        raise Trouble(f"{told}: no lattice fits: {share:.0%} of {len(places)} spots have "
                      f"neighbours on the best one; expected {_NEIGHBOURLY_MIN:.0%} or more; "
                      f"{remedy}")
