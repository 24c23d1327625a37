"""The tape: how steps are recorded, and how gradients are sent back along them.

It is a graph of nodes held by the tensors they made. A node points at the tensors it came from and never at
those it made, so there are no reference cycles: a graph that nobody holds is freed at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias

from minidl.backend import Array, to_numpy, xp

Pairs: TypeAlias = "list[tuple[Any, Array]]"  # a tensor and its gradient


class Recorded(Protocol):
    """What the tape asks of a tensor: which of the outputs of which node it is, if it is no leaf."""

    _node: "Node | None"
    _slot: int
    requires_grad: bool


_recording: ContextVar[bool] = ContextVar("recording", default=True)


@contextmanager
def no_grad(recording: bool = False) -> Iterator[None]:
    """Compute without recording: what is made inside needs no gradient and keeps nothing for one.

    Example:
        >>> from minidl import Tensor
        >>> with no_grad():
        ...     y = Tensor([1.0], requires_grad=True) * 2
        >>> y.requires_grad
        False
    """
    token = _recording.set(recording)
    try:
        yield
    finally:
        _recording.reset(token)


def is_recording() -> bool:
    """Tell whether steps are recorded here: they are, unless inside `no_grad`."""
    return _recording.get()


class Node:
    """One recorded step: where its inputs came from, and the pullback that sends gradients to them."""

    __slots__ = ("outputs", "owner", "pullback", "sources")

    def __init__(
        self, owner: str, sources: Sequence[Recorded], pullback: Callable[[Any], Pairs], n: int
    ) -> None:
        self.owner = owner
        self.sources: Sequence[Recorded] = sources
        self.pullback: Callable[[Any], Pairs] | None = pullback
        self.outputs = n


def call_pullback(pullback: Callable[..., Any], dy: Any, input_grad: bool) -> Any:
    """Call an op's pullback, refusing the gradient of its first argument where that is possible."""
    if not input_grad and "input_grad" in (getattr(pullback, "__kwdefaults__", None) or ()):
        return pullback(dy, input_grad=False)
    return pullback(dy)


def guard(owner: str, arrays: Sequence[Any], pullback: Callable[..., Any]) -> Callable[..., Any]:
    """Return a pullback that first makes sure that nobody wrote into the arrays since the forward pass."""

    def marks() -> list[int]:
        return [hash(to_numpy(a).tobytes()) for a in arrays if isinstance(a, xp.ndarray)]

    before = marks()

    def guarded(dy: Any, *, input_grad: bool = True) -> Any:
        if marks() != before:
            raise RuntimeError(f"{owner}: an array was written to in place between forward and backward")
        return call_pullback(pullback, dy, input_grad)

    return guarded


def backpropagate(results: Sequence[tuple[Recorded, Any]], *, release: bool) -> Pairs:
    """Send upstream gradients back to the leaves; return each leaf once, with the sum of its gradients.

    Args:
        results: the tensors to start from, each with its upstream gradient.
        release: free each pullback once it is used, which leaves the graph used up.
    """
    pending: dict[int, list[Any]] = {}
    leaves: dict[int, tuple[Recorded, Array]] = {}

    def send(tensor: Recorded, gradient: Any) -> None:
        node = tensor._node
        if gradient is None or not tensor.requires_grad:
            return
        if node is None:
            known = leaves.get(id(tensor))
            leaves[id(tensor)] = (tensor, gradient if known is None else xp.asarray(known[1] + gradient))
        else:
            slots = pending.setdefault(id(node), [None] * node.outputs)
            known_slot = slots[tensor._slot]
            slots[tensor._slot] = gradient if known_slot is None else xp.asarray(known_slot + gradient)

    for tensor, gradient in results:
        send(tensor, gradient)
    order = _sources_first([tensor._node for tensor, _ in results if tensor._node is not None])
    while order:
        node = order.pop()
        slots = pending.pop(id(node), None)
        if slots is None:
            continue
        if node.pullback is None:
            raise RuntimeError(
                f"backward: the graph through {node.owner!r} was used by an earlier backward; "
                "run the forward pass again"
            )
        for tensor, gradient in node.pullback(slots[0] if node.outputs == 1 else tuple(slots)):
            send(tensor, gradient)
        if release:
            node.pullback, node.sources = None, ()
    return list(leaves.values())


def _sources_first(roots: Sequence[Node]) -> list[Node]:
    """Return all nodes below the roots, each after the nodes it came from, without recursion."""
    order: list[Node] = []
    seen: set[int] = set()
    stack = [(node, False) for node in roots]
    while stack:
        node, done = stack.pop()
        if done:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((s._node, False) for s in node.sources if s._node is not None)
    return order
