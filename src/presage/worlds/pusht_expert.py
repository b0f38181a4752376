"""An expert for Push-T: it plans a few straight pushes ahead with a closed-form model, anew at every control step.

Nothing glides in Push-T and nothing rubs, so pushing at a contact with an advance of the agent by one pixel moves the
block by a constant twist of its own frame: along the edge's inner normal, turned by the lever arm over the inertia. A
push of any length is then a matrix exponential in SE(2), and a plan is a short list of (contact, length) whose product
is the way to the goal. Plans are searched by beam, three pushes deep; what remains is priced by its size. The price
includes walking around the block, so that a contact once approached stays the best one. The expert has no memory:
after a disturbance it plans from what it finds.

Steps are control steps of 0.1 s, lengths are pixels.
"""

from typing import Any

import numpy as np

from presage.worlds.pusht_shape import ARENA, GOAL_ANGLE, GOAL_CENTRE, INERTIA, NORMALS, OUTLINE, RADIUS, rotation

GAP = 10.0
"""Between agent and block where a push starts."""
CLEARANCE = RADIUS + 4.0
"""From the block, on the way around it."""
MARGIN = 8.0
"""From the ends of the arena: a push that would start further out cannot be made."""
PACE, WALK = 14.0, 24.0
"""Pixels per step while pushing and while walking."""
SWITCH, START = 4.0, 2.0
"""Steps lost by leaving a contact and by starting a push."""
STRIDE = 15.0
"""How far the agent may advance in one step of a push."""
LEAD = 70.0
"""How far ahead of the agent its target lies on the way around."""
REACH, DRIFT = 0.264, 0.0368
"""What the agent covers in one step: of the way to its target, and of its velocity (1 - 2/e and 0.1/e seconds)."""
ARM = np.array([1.0, 1.0, 55.0])
"""Weights of a pose error (x, y, angle): a turn is as large as the way of a point at the radius of gyration."""
TOLERANCE = 1.5
"""Size of a pose error at which 95 % are covered for certain."""
BEAM, DEPTH = 24, 2
SHARES = np.array([0.6, 0.85, 1.0, 1.15])
"""Lengths tried for a push, in parts of the one that removes most of the error."""
LENGTHS = np.array([5.0, 12.0, 25.0, 50.0, 90.0, 150.0])
"""Further lengths tried for the first push, which may also make the second one possible."""
SPACING = 7.5
"""Between contacts along an edge."""
UNREACHABLE = 60.0
"""Steps charged for a push that would have to start outside the arena."""


def _contacts() -> tuple[np.ndarray, np.ndarray]:
    """Where the block can be pushed: points (C, 2) of its outline and the outward normals there (C, 2)."""
    points, normals = [], []
    corners = len(OUTLINE)
    inner = {3, 6}  # the two corners between bar and stem: the agent must fit in
    for edge in range(corners):
        start, end = OUTLINE[edge], OUTLINE[(edge + 1) % corners]
        length = float(np.linalg.norm(end - start))
        first, last = ((RADIUS + 6.0 if corner % corners in inner else 3.0) for corner in (edge, edge + 1))
        count = max(2, round((length - first - last) / SPACING) + 1)
        for along in np.linspace(first, length - last, count):
            points.append(start + (end - start) * along / length)
            normals.append(NORMALS[edge])
    return np.array(points), np.array(normals)


_POINTS, _NORMALS = _contacts()
_COUNT = len(_POINTS)
_LEVER = _POINTS[:, 1] * _NORMALS[:, 0] - _POINTS[:, 0] * _NORMALS[:, 1]
_GIVE = 1.0 + _LEVER**2 / INERTIA
_TWISTS = np.concatenate([-_NORMALS / _GIVE[:, None], (_LEVER / INERTIA / _GIVE)[:, None]], axis=1)
"""(C, 3): what one pixel of advance does to the block, in its own frame: x, y, angle."""
_SCALED = _TWISTS * ARM
_SQUARES = (_SCALED**2).sum(1)
_TOUCH = _POINTS + RADIUS * _NORMALS
_STANDS = _POINTS + (RADIUS + GAP) * _NORMALS

_SIGNS = np.array([(-1, -1), (1, -1), (1, 1), (1, 1), (1, 1), (-1, 1), (-1, 1), (-1, 1)])
_RING = OUTLINE + (RADIUS + GAP) * _SIGNS
"""The way around the block: its outline, further out."""
_SIDES = np.roll(_RING, -1, axis=0) - _RING
_LENGTHS = np.linalg.norm(_SIDES, axis=1)
_AT = np.concatenate([[0.0], np.cumsum(_LENGTHS)])
_PERIMETER = _AT[-1]
_LOWER = np.array([(-60.0, -45.0), (-15.0, -15.0)])  # the two boxes of the T
_UPPER = np.array([(60.0, -15.0), (15.0, 75.0)])


def _nearest_on_ring(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For points (N, 2): how far along the ring the nearest point of it is, that point, and its distance."""
    relative = points[:, None] - _RING
    share = np.clip((relative * _SIDES).sum(-1) / _LENGTHS**2, 0.0, 1.0)
    nearest = _RING + share[..., None] * _SIDES
    distance = np.linalg.norm(points[:, None] - nearest, axis=-1)
    rows, side = np.arange(len(points)), distance.argmin(1)
    return _AT[side] + share[rows, side] * _LENGTHS[side], nearest[rows, side], distance[rows, side]


def _ring_points(along: np.ndarray) -> np.ndarray:
    """Points (N, 2) of the ring at distances (N,) along it."""
    along = along % _PERIMETER
    side = np.clip(np.searchsorted(_AT, along, side="right") - 1, 0, len(_RING) - 1)
    return _RING[side] + _SIDES[side] * ((along - _AT[side]) / _LENGTHS[side])[:, None]


def _blocked(start: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """(N,) bool: the straight ways from `start` (2,) to `ends` (N, 2) that come too close to the block."""
    way = ends - start
    way = np.where(np.abs(way) < 1e-9, 1e-9, way)[:, None]
    one, other = (_LOWER - CLEARANCE - start) / way, (_UPPER + CLEARANCE - start) / way
    enter, leave = np.minimum(one, other).max(-1), np.maximum(one, other).min(-1)
    return ((enter < np.minimum(leave, 1.0)) & (leave > 0.0)).any(1)


_ON_RING = _nearest_on_ring(_STANDS)[0]
_MARKS = np.arange(0.0, _PERIMETER, 15.0)
_APART = np.abs(_ON_RING[:, None] - _ON_RING)
_APART = np.minimum(_APART, _PERIMETER - _APART)


def _pushed(twists: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Exponential in SE(2): the pose (..., 3) in the old body frame after pushing along `twists` for `lengths`."""
    turn = twists[..., 2] * lengths
    x, y = twists[..., 0] * lengths, twists[..., 1] * lengths
    small = np.abs(turn) < 1e-6
    safe = np.where(small, 1.0, turn)
    s, c = np.where(small, 1.0, np.sin(safe) / safe), np.where(small, turn / 2, (1.0 - np.cos(safe)) / safe)
    return np.stack([s * x - c * y, c * x + s * y, turn], axis=-1)


def _error(goals: np.ndarray) -> np.ndarray:
    """Logarithm in SE(2) of the goal pose in the body frame (..., 3), weighted: what pushes have to add up to."""
    half = goals[..., 2] / 2
    small = np.abs(half) < 1e-4
    safe = np.where(small, 1.0, half)
    k = np.where(small, 1.0, safe / np.tan(safe))
    x, y = goals[..., 0], goals[..., 1]
    return np.stack([k * x + half * y, k * y - half * x, goals[..., 2]], axis=-1) * ARM


def _wrap(angle: Any) -> Any:
    """An angle, or an array of them, in [-pi, pi)."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def _after(goals: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Goal poses (B, C, L, 3) in the new body frames when every contact is pushed for lengths (B, C, L)."""
    pose = _pushed(_TWISTS[None, :, None], lengths)
    goal = goals[:, None, None]
    x, y = goal[..., 0] - pose[..., 0], goal[..., 1] - pose[..., 1]
    c, s = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    return np.stack([c * x + s * y, c * y - s * x, _wrap(goal[..., 2] - pose[..., 2])], axis=-1)


def _lengths(goals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths (B, C, L) to try for goals (B, 3), and what is charged (B, C, 1) for contacts that only make it worse."""
    best = _error(goals) @ _SCALED.T / _SQUARES
    return np.maximum(best[..., None] * SHARES, 1.0), np.where(best < 1.0, np.inf, 0.0)[..., None]


def _remaining(goals: np.ndarray) -> np.ndarray:
    """Steps that what is left (..., 3) will cost. More than a push really costs: else it would pay to wait."""
    size = np.linalg.norm(_error(goals), axis=-1)
    return np.where(size < TOLERANCE, 0.5 * size, 20.0 + 0.3 * size)


def _plan(goal: np.ndarray, approach: np.ndarray, penalty: np.ndarray) -> tuple[int, float]:
    """The first push, (contact, length), of the best plan found.

    `goal` (3,) is the goal pose in the body frame, `approach` (C,) the steps until each contact can be pushed and
    `penalty` (C,) what is charged for contacts out of reach.
    """
    goals = goal[None]
    fitting, charge = _lengths(goals)
    lengths = np.concatenate([fitting, np.broadcast_to(LENGTHS, (1, _COUNT, len(LENGTHS)))], axis=2)
    after = _after(goals, lengths)
    spent = approach[None, :, None] + lengths / PACE + START
    spent[:, :, : len(SHARES)] += charge
    total = (spent + _remaining(after)).ravel()
    choice = int(total.argmin())
    best = total[choice]
    first = np.arange(total.size)  # of every node, which first push leads there
    for _ in range(DEPTH):
        top = np.argpartition(total, BEAM)[:BEAM]
        contact = np.unravel_index(top, spent.shape)[1]
        first, goals = first[top], after.reshape(-1, 3)[top]
        fitting, charge = _lengths(goals)
        after = _after(goals, fitting)
        walk = SWITCH + _APART[contact] / WALK + 0.5 * penalty
        spent = spent.ravel()[top][:, None, None] + walk[:, :, None] + fitting / PACE + START + charge
        total = (spent + _remaining(after)).ravel()
        first = np.repeat(first, _COUNT * len(SHARES))
        if total.min() < best:
            best, choice = total.min(), int(first[total.argmin()])
    return choice // lengths.shape[2], float(lengths.ravel()[choice])


def push_target(centre: np.ndarray, angle: float, agent: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Where the expert sends the agent now, (2,) in the arena.

    The block's centre of gravity is at `centre` (2,), turned by `angle`; the agent is at `agent` (2,).
    """
    turn = rotation(angle)
    goal = np.array([*(turn.T @ (GOAL_CENTRE - centre)), _wrap(GOAL_ANGLE - angle)])
    here = turn.T @ (agent - centre)

    stands = _STANDS @ turn.T + centre
    penalty = np.where(((stands > MARGIN) & (stands < ARENA - MARGIN)).all(1), 0.0, UNREACHABLE)
    relative = here - _POINTS
    height = (relative * _NORMALS).sum(1)
    aside = np.abs(relative[:, 0] * _NORMALS[:, 1] - relative[:, 1] * _NORMALS[:, 0])
    near = height < RADIUS + GAP - 2.0  # once it is under way, a push may be a little less straight
    ready = (aside < np.where(near, 8.0, 5.0)) & (height > RADIUS - 4.0) & (height < RADIUS + 2 * GAP)
    (start,), (entry,), (offside,) = _nearest_on_ring(here[None])
    ways, cut_off = _ways_around(start, turn, centre)
    around = np.abs(ways) + offside
    direct = ~_blocked(here, _STANDS)
    walk = np.where(direct, np.minimum(around, np.linalg.norm(_STANDS - here, axis=1)), around)
    approach = np.where(ready, 0.1 * aside, SWITCH + walk / WALK + UNREACHABLE * (cut_off & ~direct)) + penalty

    contact, length = _plan(goal, approach, penalty)
    if ready[contact]:
        target = _push(contact, length, height[contact] - RADIUS, here, turn.T @ velocity)
    elif direct[contact]:
        target = _ahead(here, _STANDS[contact])
    else:
        target = _around(ways[contact], here, start, entry)
    return turn @ target + centre


def _ways_around(start: float, turn: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C,): how far along the ring, to either side, each stand is from `start`; a side that leaves the arena comes
    last.

    Also (C,) bool: the stands that are cut off, because both sides leave it.
    """
    inside = _ring_points(_MARKS) @ turn.T + centre
    outside = ((inside < 0.0) | (inside > ARENA)).any(1)
    forward = (_ON_RING - start) % _PERIMETER
    backward = _PERIMETER - forward
    leaves = (outside & ((_MARKS - start) % _PERIMETER < forward[:, None])).any(1)
    returns = (outside & ((start - _MARKS) % _PERIMETER < backward[:, None])).any(1)
    way = np.where(forward + leaves * _PERIMETER <= backward + returns * _PERIMETER, forward, -backward)
    return way, leaves & returns


def _push(contact: int, length: float, gap: float, here: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """Follow the contact along its arc; the last stretch is aimed so that the agent is there after this step.

    Before the agent touches (`gap` is how much is missing) it goes straight at the contact.
    """
    far = length >= STRIDE
    ahead = max(STRIDE, 2.5 * STRIDE - 2.0 * max(gap, 0.0))
    pose = _pushed(_TWISTS[contact], np.array(min(length, ahead) if far else length))
    end = rotation(pose[2]) @ _TOUCH[contact] + pose[:2]
    return end if far else here + (end - here - DRIFT * velocity) / REACH


def _ahead(here: np.ndarray, target: np.ndarray) -> np.ndarray:
    way = target - here
    return here + way * min(1.0, LEAD / max(float(np.linalg.norm(way)), 1e-9))


def _around(way: float, here: np.ndarray, start: float, entry: np.ndarray) -> np.ndarray:
    """Walk along the ring to where the push starts, cutting corners as far as the block allows."""
    if _blocked(here, entry[None])[0]:  # in touch with the block: away from it first
        return here + (entry - here) * (45.0 / max(float(np.linalg.norm(entry - here)), 1e-9))
    corners = (_AT[:-1] - start) * np.sign(way) % _PERIMETER
    steps = np.concatenate([np.arange(10.0, min(abs(way), 200.0), 20.0), corners[corners < abs(way)], [abs(way)]])
    points = _ring_points(start + np.sign(way) * np.sort(steps))
    free = np.flatnonzero(~_blocked(here, points))
    return _ahead(here, points[free[-1]] if len(free) else entry)
