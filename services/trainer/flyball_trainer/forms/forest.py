"""Trees as arrays, whichever library grew them; knows numpy alone."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, F64, Column

Link = Literal["value", "logistic", "softmax", "share"]
"""What becomes of a form's numbers: nothing, 1 / (1 + exp(-it)), softmax, or probabilities already."""

ABSENT: Final = -6e4
"""Log odds of a class that no training row has: no probability beside others. A half float holds it."""

_INFINITY: Final = np.float32(np.inf)
_INTEGERS: Final = np.dtype(np.int64)


class UnconvertibleError(PermanentError):
    """A fitted model has a part that has no exact ONNX form here."""

    kind = "unconvertible"


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree with k inner nodes and l leaves; children and order as in `Forest`, numbered from 0."""

    feature: Column  # i64 (k,)
    threshold: Column  # f64 (k,)
    missing_left: Column  # bool (k,)
    left: Column  # i64 (k,)
    right: Column  # i64 (k,)
    value: Column  # f64 (l, c): what each leaf adds to c outputs
    output: int
    """The first of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """t trees with k inner nodes and l leaves in all; outputs are `offset` + what the leaves reached say.

    A row goes left at a node when its value is at most the threshold, or missing and `missing_left`.
    Children are numbers of inner nodes, or ~number of a leaf. Inner nodes and leaves of a tree lie
    together, parents before children, its root first. A leaf says s_i >= 1 things, each `value` to
    one `output`.
    """

    width: int
    link: Link
    offset: Column  # f64 (outputs,)
    tree: Column  # i64 (k,), rising
    feature: Column  # i64 (k,)
    threshold: Column  # f32 (k,)
    missing_left: Column  # bool (k,)
    left: Column  # i64 (k,)
    right: Column  # i64 (k,)
    leaf_tree: Column  # i64 (l,), rising
    leaf: Column  # i64 (s,), rising
    output: Column  # i64 (s,)
    value: Column  # f64 (s,)

    @property
    def outputs(self) -> int:
        """Numbers a row: 1, or one a class."""
        return len(self.offset)

    @property
    def parent(self) -> Column:
        """The inner node above each inner node, i64 (k,); -1 = a root."""
        parent = np.full(len(self.tree), -1)
        for children in (self.left, self.right):
            inner = children >= 0
            parent[children[inner]] = np.flatnonzero(inner)
        return parent


def rounded_down(threshold: Column) -> Column:
    """The largest f32 at most each f64 threshold: every f32 goes the same way at both."""
    with np.errstate(over="ignore"):
        nearest = threshold.astype(F32)
        below = np.nextafter(nearest, -_INFINITY)
    return np.where(nearest.astype(F64) > threshold, below, nearest).astype(F32)


def assembled(
    width: int,
    link: Link,
    offset: Column,
    trees: Iterable[Tree],
    *,
    centred: int = 0,
    rounded: Callable[[Column], Column] = rounded_down,
) -> Forest:
    """A forest of trees; one of a single leaf goes into the offset.

    Of the first `centred` trees the mean leaf does too: what is large is then added once, in full
    precision, where a sum of f32 would lose digits. Only for trees of one output.
    """
    offset, kept = offset.astype(F64), list[Tree]()
    for tree in trees:
        own = slice(tree.output, tree.output + tree.value.shape[1])
        if len(tree.value) == 1:
            offset[own] += tree.value[0]
            continue
        mean = tree.value.mean(axis=0) if len(kept) < centred else np.zeros(1, F64)
        offset[own] += mean
        kept.append(_less(tree, mean))
    silent = set(range(len(offset))).difference(*(_outputs(tree) for tree in kept))
    return _joined(width, link, offset, [*kept, *map(_nothing, sorted(silent))], rounded)


def grown(
    feature: Column,
    threshold: Column,
    missing_left: Column,
    left: Column,
    right: Column,
    leaf: Column,
    value: Column,
) -> Tree:
    """A tree whose inner nodes and leaves are numbered as one, parents first; one entry a node.

    `leaf` bool (nodes,) tells which is which; `value` f64 (nodes, c) is for the first c outputs.
    Such a tree sees the largest f32 in place of infinity, so a threshold from there up lets it pass.
    """
    inner = ~leaf
    threshold = np.where(threshold >= np.finfo(F32).max, np.inf, threshold)
    number = np.where(inner, np.cumsum(inner) - 1, ~(np.cumsum(leaf) - 1))
    return Tree(
        feature=feature[inner].astype(_INTEGERS),
        threshold=threshold[inner].astype(F64),
        missing_left=missing_left[inner].astype(bool),
        left=number[left[inner].astype(_INTEGERS)],
        right=number[right[inner].astype(_INTEGERS)],
        value=value[leaf].astype(F64),
        output=0,
    )


def _joined(
    width: int,
    link: Link,
    offset: Column,
    trees: list[Tree],
    rounded: Callable[[Column], Column],
) -> Forest:
    """Nodes and leaves numbered through all trees."""
    nodes = np.array([len(tree.feature) for tree in trees])
    leaves = np.array([len(tree.value) for tree in trees])
    first_node, first_leaf = np.cumsum(nodes) - nodes, np.cumsum(leaves) - leaves
    numbers = np.arange(len(trees))
    children = [
        np.where(child >= 0, child + first_node[i], child - first_leaf[i])
        for i, tree in enumerate(trees)
        for child in (tree.left, tree.right)
    ]
    said = [_said(tree, first_leaf[i]) for i, tree in enumerate(trees)]
    return Forest(
        width=width,
        link=link,
        offset=offset,
        tree=np.repeat(numbers, nodes),
        feature=np.concatenate([tree.feature for tree in trees]),
        threshold=rounded(np.concatenate([tree.threshold for tree in trees])),
        missing_left=np.concatenate([tree.missing_left for tree in trees]),
        left=np.concatenate(children[::2]),
        right=np.concatenate(children[1::2]),
        leaf_tree=np.repeat(numbers, leaves),
        leaf=np.concatenate([leaf for leaf, _, _ in said]),
        output=np.concatenate([output for _, output, _ in said]),
        value=np.concatenate([value for _, _, value in said]),
    )


def _said(tree: Tree, first_leaf: int) -> tuple[Column, Column, Column]:
    """What the leaves say, without the zeros of leaves that say something else too."""
    value = tree.value
    worth = value != 0
    worth[:, 0] |= ~worth.any(axis=1)
    leaf, column = np.nonzero(worth)
    return leaf + first_leaf, column + tree.output, value[worth]


def _less(tree: Tree, mean: Column) -> Tree:
    return Tree(
        tree.feature,
        tree.threshold,
        tree.missing_left,
        tree.left,
        tree.right,
        tree.value - mean,
        tree.output,
    )


def _outputs(tree: Tree) -> range:
    return range(tree.output, tree.output + tree.value.shape[1])


def _nothing(output: int) -> Tree:
    """A tree that says 0 either way: ONNX Runtime adds no offset to what no tree speaks of."""
    one, no = np.zeros(1, _INTEGERS), np.zeros(1, bool)
    zero = np.zeros((2, 1), F64)
    return Tree(one, np.zeros(1, F64), no, np.array([-1]), np.array([-2]), zero, output)
