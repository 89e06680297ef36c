"""Dealing a training split out to disjoint roles: target, population, shadow pool; and the pool to shadows.

The protocol (docs/architecture.md, "A split"): target-in, target-out, shadow pool, population and the rest
are pairwise disjoint and all come from the *training* split, so that members and non-members differ in
nothing but membership. Every role has the data's class proportions, to within one sample per class and role
dealt before it. Roles of equal size (target_in and target_out) get *equal* class counts, so that a class
prior alone scores exactly chance; where the last samples of odd classes make that impossible, counts differ
by at most one.

Copies of an image (``data.copies``) share one role. Where they do not fit into what is left of a role, the surplus gets
no role, and the role dealt last may come out smaller for it. Rows with a copy under another label get none either.

Generators are seeded from ``SeedSequence`` with keys of their own; NumPy's global state is never touched.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mindleak.data.copies import first_of_each
from mindleak.data.dataset import Dataset
from mindleak.data.piles import of_one_label, take, units_of
from mindleak.errors import InputError

# A role may have this share of the size asked for if copies leave no more.
LEAST_SHARE = 0.9

# Spawn keys, which make independent streams of one seed.
_ROLES_STREAM = 0
_SHADOWS_STREAM = 1
_HALVES_STREAM = 2


@dataclass(frozen=True, eq=False)
class Split:
    """Which training rows play which role.

    ``indices`` maps a role to sorted int64 row numbers of the training split; ``labels`` are the training
    labels that they point into; ``digest`` is a SHA-256 over the data's digest, role names and indices. ``images`` are
    the numbers of the training images, equal for copies; None where there are no copies.
    """

    indices: Mapping[str, np.ndarray]
    labels: np.ndarray
    seed: int
    data_digest: str
    images: np.ndarray | None = None

    def __post_init__(self) -> None:
        rows = np.concatenate(list(self.indices.values()))
        if len(np.unique(rows)) != len(rows):
            raise ValueError("roles of a split share samples")
        for role in self.indices.values():
            role.setflags(write=False)
        object.__setattr__(self, "indices", MappingProxyType(dict(self.indices)))

    @property
    def sizes(self) -> dict[str, int]:
        """Number of samples per role."""
        return {role: len(rows) for role, rows in self.indices.items()}

    def distinct(self, role: str) -> np.ndarray:
        """Return a role's rows, one of each image: copies answer alike, so figures must count them once."""
        rows = self.indices[role]
        return rows if self.images is None else rows[first_of_each(self.images[rows])]

    def apart(self, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """Return those of ``rows`` (n,) that are neither among ``others`` (m,) nor copies of these, sorted int64."""
        return apart(self.images, rows, others)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the data's digest, the role names and their indices."""
        digest = hashlib.sha256(f"split 1 {self.data_digest}".encode())
        for role in sorted(self.indices):
            digest.update(f"\n{role} {len(self.indices[role])}\n".encode())
            digest.update(self.indices[role].astype("<i8").tobytes())
        return digest.hexdigest()


def split_roles(dataset: Dataset, sizes: Mapping[str, int], seed: int) -> Split:
    """Draw disjoint, class-stratified roles of the given sizes from the training split.

    The result depends on names, sizes and seed, not on the order in which the roles are given.

    Raises:
        InputError: a size is not a positive whole number, the seed is negative, or more samples are asked
            for than the training split has.
    """
    _check_sizes(sizes)
    available = len(dataset.y_train)
    if sum(sizes.values()) > available:
        raise InputError(_asks_too_much(sizes, available, f"the training split of {dataset.name}"))
    rows = np.arange(available)
    images = copied_images(dataset)
    indices = deal(dataset.y_train, rows, sizes, _seeds(seed, _ROLES_STREAM), images)
    return Split(indices, dataset.y_train, seed, dataset.digest, images)


def copied_images(dataset: Dataset) -> np.ndarray | None:
    """Return the numbers of the training images, equal for copies, or None where there are no copies."""
    return dataset.copies.train if dataset.copies.repeated else None


def apart(images: np.ndarray | None, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return those of ``rows`` (n,) that are neither among ``others`` (m,) nor copies of these, sorted int64.

    ``images`` (N,) are the numbers of all training images, equal for copies; None where there are no copies.
    """
    left = np.setdiff1d(rows, others)
    return left if images is None else left[~np.isin(images[left], images[others])]


def free_rows(dataset: Dataset, members: np.ndarray | None = None) -> np.ndarray:
    """Return the training rows that can have a role, sorted int64: no members (n,) of a model, no copies of these.

    Rows with a copy under another label are left out as well: no class can hold both.
    """
    rows, images = np.arange(len(dataset.y_train)), copied_images(dataset)
    return of_one_label(dataset.y_train, rows if members is None else apart(images, rows, members), images)


def copies_outside(dataset: Dataset, members: np.ndarray) -> int:
    """Return how many training rows are copies of a model's members (row numbers (n,)) without being members."""
    seen = np.isin(dataset.copies.train, dataset.copies.train[members])
    return int(np.count_nonzero(seen)) - len(members)


def split_around_members(dataset: Dataset, members: np.ndarray, sizes: Mapping[str, int], seed: int) -> Split:
    """Draw roles for a model trained elsewhere, given the training rows that it was trained on.

    ``target_in`` comes from ``members``, every other role from the remaining rows that are no copies of members;
    ``target_in`` and ``target_out`` must be of one size and get equal class counts.

    Raises:
        InputError: as :func:`split_roles`; ``members`` are not distinct row numbers of the training split;
            the two targets differ in size, or cannot be matched class by class.
    """
    _check_sizes(sizes)
    size = sizes.get("target_in")
    if size is None or size != sizes.get("target_out"):
        raise InputError("target_in and target_out must both be given, with one size")
    labels = dataset.y_train
    inside, images = check_rows(members, len(labels), "members"), copied_images(dataset)
    outside = free_rows(dataset, inside)
    others = {role: count for role, count in sizes.items() if role != "target_in"}
    if sum(others.values()) > len(outside):
        copies = copies_outside(dataset, inside)
        whence = f"the rows of {dataset.name} outside the members"
        raise InputError(_asks_too_much(others, len(outside), whence)
                         + (f" ({copies} copies of members are left out)" if copies else ""))
    counted = [np.bincount(labels[part], minlength=dataset.num_classes) for part in (inside, outside)]
    matched = np.minimum(*counted)
    if images is not None:
        # Networks answer copies alike, so these add nothing: if there are enough images, none is dealt twice.
        distinct = outside[first_of_each(images[outside])]
        fewer = np.minimum(counted[0], np.bincount(labels[distinct], minlength=dataset.num_classes))
        if sum(others.values()) <= len(distinct) and size <= fewer.sum():
            outside, matched = distinct, fewer
    if matched.sum() < size:
        raise InputError(
            f"target_in and target_out ask for {size} samples each, but only {matched.sum()} members can be "
            "matched with a non-member of the same class"
        )
    counts = _proportional(matched, size, matched)
    generator = np.random.default_rng(_seeds(seed, _ROLES_STREAM))
    indices = {
        "target_in": _draw(generator, labels, inside, counts, None),
        "target_out": _draw(generator, labels, outside, counts, images),
    }
    rest = apart(images, outside, indices["target_out"])
    del others["target_out"]
    indices.update(deal(labels, rest, others, generator, images))
    return Split(indices, labels, seed, dataset.digest, images)


def shadow_splits(
    split: Split, pool_role: str, n_shadows: int, size_in: int, size_out: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return (in, out) row numbers of the training split for each shadow, sorted int64.

    In and out of one shadow are disjoint, stratified like the roles; different shadows draw from the whole
    pool independently and may overlap. Shadow k depends on (seed, k) only, not on ``n_shadows``.

    Raises:
        InputError: no such role, a count that is not positive, or a pool smaller than in + out.
    """
    if pool_role not in split.indices:
        raise InputError(f"the split has no role '{pool_role}'; it has {', '.join(split.indices)}")
    sizes = {"in": size_in, "out": size_out}
    _check_sizes({**sizes, "shadows": n_shadows})
    pool = split.indices[pool_role]
    if size_in + size_out > len(pool):
        raise InputError(_asks_too_much(sizes, len(pool), f"the role '{pool_role}'", what="a shadow"))
    dealt = [deal(split.labels, pool, sizes, _seeds(seed, _SHADOWS_STREAM, k), split.images) for k in range(n_shadows)]
    return [(roles["in"], roles["out"]) for roles in dealt]


def halves(labels: np.ndarray, rows: np.ndarray, models: int, seed: int,
           images: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Deal ``rows`` out to an even number of models, half of them to each; the models are each other's shadows.

    Every row is in exactly half of the models and every model gets exactly half of every class. This is the design
    of Carlini et al. (arXiv 2112.03570, sec. IV-A) in a stricter form: two rows of a class at a time are dealt as
    complements, so that sizes and class counts are equal without exception. The last row of an odd class is in no
    model and is left out. Copies go to the same models: two images that occur equally often are dealt as complements.

    Args:
        labels: of the whole training split.
        rows: row numbers to deal out.
        models: how many, even.
        seed: of the deal.
        images: numbers of all training images, equal for copies; None where there are no copies.

    Returns:
        (kept, keep): sorted row numbers, int64 (N,), and bool (models, N), True where a model is trained on a row.

    Raises:
        InputError: a number of models that is odd or below 2, or no class with two rows.
    """
    if models < 2 or models % 2:
        raise InputError(f"{models} models cannot each have half of the samples and each sample half of the models; "
                         "expected an even number from 2 on")
    generator = np.random.default_rng(_seeds(seed, _HALVES_STREAM))
    rows = of_one_label(labels, np.sort(rows).astype(np.int64), images)
    piles = [generator.permutation(rows[labels[rows] == label]) for label in np.unique(labels[rows])]
    # Per class and number of copies an array (pairs, 2, copies): the two images of a pair are dealt as complements.
    pairs = [units[:len(units) // 2 * 2].reshape(-1, 2, units.shape[1])
             for pile in piles for units in units_of(pile, images)]
    copies = np.repeat([part.shape[2] for part in pairs], [len(part) for part in pairs])
    if len(copies) == 0:
        raise InputError("no class has two samples to deal out to models")
    first = np.repeat(np.argsort(generator.random((models, len(copies))), axis=0) < models // 2, copies, axis=1)
    dealt = np.concatenate([part[:, side].reshape(-1) for side in (0, 1) for part in pairs])
    keep = np.concatenate([first, ~first], axis=1)
    order = np.argsort(dealt)
    return dealt[order], keep[:, order]


def check_rows(rows: np.ndarray, available: int, what: str) -> np.ndarray:
    """Return row numbers sorted as int64, after checking that they are distinct and inside 0 .. available-1.

    Raises:
        InputError: they are not; ``what`` names them in the message.
    """
    _refuse_mask(rows, available, what)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or len(rows) == 0:
        raise InputError(f"{what}: {rows.dtype} of shape {rows.shape}; expected row numbers, whole, in one dimension")
    ordered = np.sort(rows)
    if ordered[0] < 0 or ordered[-1] >= available:
        wrong = ordered[0] if ordered[0] < 0 else ordered[-1]
        raise InputError(f"{what}: row {wrong} is outside the training split (0..{available - 1})")
    twice = np.flatnonzero(ordered[1:] == ordered[:-1])
    if len(twice):
        raise InputError(f"{what}: row {ordered[twice[0]]} is listed more than once")
    return ordered.astype(np.int64)


def _refuse_mask(rows: np.ndarray, available: int, what: str) -> None:
    """Refuse what says of every row whether it is meant, as other tools take members, and say how to turn it into rows.

    Raises:
        InputError: Boolean values, more than two numbers of which all are 0 or 1, or a few numbers repeated, one for
            every row.
    """
    numbers = rows.dtype.kind in "iuf"
    zeros_and_ones = numbers and rows.size > 2 and bool(np.isin(rows, (0, 1)).all())
    if numbers and not zeros_and_ones and rows.size == available and len(found := np.unique(rows)) <= available // 2:
        shown = ", ".join(f"{value:g}" for value in found[:4])
        raise InputError(f"{what}: {len(found)} different numbers ({shown}{', ...' if len(found) > 4 else ''}) for "
                         f"{available} rows look like a mask or like names of parts; expected the row numbers of the "
                         "members, such as np.flatnonzero(mask == 1)")
    if rows.dtype.kind != "b" and not zeros_and_ones:
        return
    kind = "True and False" if rows.dtype.kind == "b" else "0 and 1"
    fits = "" if rows.size == available else f", and the training split has {available} rows"
    raise InputError(f"{what}: {rows.size} values of {kind} only look like a mask{fits}; expected the row numbers of "
                     "the members, np.flatnonzero(mask)")


def deal(
    labels: np.ndarray,
    rows: np.ndarray,
    sizes: Mapping[str, int],
    seeds: np.random.SeedSequence | np.random.Generator,
    images: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Deal ``rows`` (row numbers into ``labels``) out to roles; sorted int64 per role, disjoint.

    The sizes must not sum to more than ``len(rows)``. Roles of equal size are dealt together, before all
    others, so that odd class counts elsewhere do not spoil their equality.

    ``images`` are numbers of all images, equal for copies, which share a role; None where there are no copies. A role
    may then get fewer rows than asked for, roles of equal size equally many.

    Raises:
        InputError: copies leave a role less than ``LEAST_SHARE`` of its size, and it lacks more than a row per class.
    """
    generator = np.random.default_rng(seeds)
    rows = of_one_label(labels, np.sort(rows).astype(np.int64), images)
    classes, class_of = np.unique(labels[rows], return_inverse=True)
    piles = [generator.permutation(rows[class_of == number]) for number in range(len(classes))]
    roles: dict[str, np.ndarray] = {}
    for size, group in _equal_sized(sizes, images is not None):
        lengths = np.array([len(pile) for pile in piles])
        # Fewer are left than were asked for only where copies got no role.
        counts = _share_out(lengths, min(size, int(lengths.sum()) // len(group)), len(group))
        parts: list[list[np.ndarray]] = []
        for per_class in counts:
            taken = [take(pile, n, images) for pile, n in zip(piles, per_class)]
            parts.append([part for part, _ in taken])
            piles = [rest for _, rest in taken]
        short = (counts - [[len(part) for part in each] for each in parts]).max(axis=0)
        for role, per_class, each in zip(group, counts - short, parts):
            roles[role] = np.sort(np.concatenate([part[:n] for part, n in zip(each, per_class)]))
    _require_filled(roles, sizes, rows, len(classes), images)
    return {role: roles[role] for role in sizes}


def _require_filled(roles: Mapping[str, np.ndarray], sizes: Mapping[str, int], rows: np.ndarray, classes: int,
                    images: np.ndarray | None) -> None:
    """Refuse roles that copies have left too small: by more than a row per class, and more than a tenth."""
    if images is None:
        return
    for role, size in sizes.items():
        short = size - len(roles[role])
        if short == size or short > max(classes, (1 - LEAST_SHARE) * size):
            raise InputError(f"'{role}' gets {len(roles[role])} of {size} samples, since copies share one role and "
                             f"{len(rows)} samples are {len(np.unique(images[rows]))} images; expected smaller sizes")


def _equal_sized(sizes: Mapping[str, int], smallest_first: bool) -> list[tuple[int, list[str]]]:
    """Group roles by size: largest groups first, then largest or smallest sizes; names in alphabetical order.

    Copies without a role are missing in the role dealt last, where they weigh least if it is the largest.
    """
    groups: dict[int, list[str]] = {}
    for role in sorted(sizes):
        groups.setdefault(sizes[role], []).append(role)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0] if smallest_first else -item[0]))


def _share_out(available: np.ndarray, size: int, copies: int) -> np.ndarray:
    """Return class counts (copies, classes), each row summing to ``size``, equal rows where possible."""
    cap = available // copies
    if cap.sum() >= size:
        return np.tile(_proportional(available, size, cap), (copies, 1))
    # Fewer than `copies` samples of each class are left. Dealt in turn, they give each role at most one of a class.
    counts = np.tile(cap, (copies, 1))
    leftover = np.repeat(np.arange(len(available)), available - copies * cap)
    leftover = leftover[: copies * (size - int(cap.sum()))]
    counts[np.arange(len(leftover)) % copies, leftover] += 1
    return counts


def _proportional(available: np.ndarray, size: int, cap: np.ndarray) -> np.ndarray:
    """Share ``size`` in proportion to ``available`` by largest remainder, never above ``cap`` per class."""
    total = max(int(available.sum()), 1)
    counts = np.minimum(size * available // total, cap)
    by_remainder = np.argsort(-(size * available % total), kind="stable")
    while (missing := size - int(counts.sum())) > 0:
        open_classes = by_remainder[(counts < cap)[by_remainder]]
        counts[open_classes[:missing]] += 1
    return counts


def _draw(generator: np.random.Generator, labels: np.ndarray, rows: np.ndarray, counts: np.ndarray,
          images: np.ndarray | None) -> np.ndarray:
    drawn = [take(generator.permutation(rows[labels[rows] == number]), n, images)[0] for number, n in enumerate(counts)]
    return np.sort(np.concatenate(drawn))


def _seeds(seed: int, *key: int) -> np.random.SeedSequence:
    if seed < 0:
        raise InputError(f"seed {seed} is negative")
    return np.random.SeedSequence(seed, spawn_key=key)


def _check_sizes(sizes: Mapping[str, int]) -> None:
    if not sizes:
        raise InputError("a split needs at least one role")
    for role, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise InputError(f"size of '{role}' is {size!r}; expected a positive whole number")


def _asks_too_much(sizes: Mapping[str, int], available: int, whence: str, what: str = "the split") -> str:
    parts = " + ".join(f"{role} {size}" for role, size in sizes.items())
    return f"{what} asks for {sum(sizes.values())} samples ({parts}), but {whence} has {available}"
