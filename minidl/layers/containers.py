"""Layers made of layers, written over ``vjp`` alone."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minidl import ops, tiling
from minidl.backend import Array
from minidl.layers._fusion import stages
from minidl.layers.base import Layer, Pullback


def _check_layer(layer: object, expected: str) -> None:
    """Refuse everything but a layer, with a hint for a class in the place of its instance."""
    if not isinstance(layer, Layer):
        hint = "; add parentheses" if isinstance(layer, type) and issubclass(layer, Layer) else ""
        got = f"the class {layer.__name__}" if isinstance(layer, type) else type(layer).__name__
        raise TypeError(f"{expected}, got {got}{hint}")


@contextlib.contextmanager
def _located(place: str, layer: Layer) -> Iterator[None]:
    """Add to an exception which part of a container it came from."""
    try:
        yield
    except Exception as error:
        error.add_note(f"{place}: {layer!r}")
        raise


class Container(Layer):
    """Layers in a row, found by their number: what `Sequential` and `Parallel` share."""

    def __init__(self, *layers: Layer | Sequence[Layer]) -> None:
        listed = layers[0] if len(layers) == 1 and isinstance(layers[0], (list, tuple)) else layers
        for i, layer in enumerate(listed):
            _check_layer(layer, f"{type(self).__name__}: expected a layer at position {i}")
        self.layers: list[Layer] = list(listed)  # type: ignore[arg-type]  # checked just above

    @property
    def sample_wise(self) -> bool:  # type: ignore[override]  # what its layers say
        """Whether each sample of the output depends on the same sample of the input alone."""
        return all(layer.sample_wise for layer in self.layers)

    def children(self) -> Iterator[tuple[str, Any]]:
        """Yield the layers under their numbers, then any further attributes."""
        yield from ((str(i), layer) for i, layer in enumerate(self.layers))
        yield from ((name, value) for name, value in vars(self).items() if name != "layers")

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def extra_repr(self) -> str:
        rows = [f"({i}) {layer!r}".replace("\n", "\n  ") for i, layer in enumerate(self.layers)]
        return "\n  " + ",\n  ".join(rows) + "\n" if rows else ""


class Sequential(Container):
    """Layers one after another: the output of each is the input of the next.

    On the CPU its layers run a few samples at a time on all cores, see `minidl.tiling`; how many cores there
    are does not change a result.

    Args:
        *layers: first to last; a single list is accepted too.

    Example:
        >>> from minidl.layers import Linear, ReLU
        >>> model = Sequential(Linear(2, 3), ReLU(), Linear(3, 1))
        >>> len(model), model[-1]
        (3, Linear(3, 1))
        >>> [name for name, _ in model[:2].named_parameters()]
        ['0.weight', '0.bias']
    """

    def __init__(self, *layers: Layer | Sequence[Layer]) -> None:
        super().__init__(*layers)
        self._plans = tiling.Plans()

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        # A batch that some layer refuses is not to count in the statistics of those before it.
        before = [] if self.sample_wise else [(buffer, buffer.data) for _, buffer in self.buffers()]
        try:
            return tiling.vjp(stages(self.layers), x, self._plans, self._locate)
        except Exception:
            for buffer, data in before:
                buffer.data = data
            raise

    def predict(self, x: Array) -> Array:
        """Chain the ``predict`` of each layer."""
        y: Array = tiling.predict(stages(self.layers), x, self._plans, self._locate)
        return y

    def _locate(self, error: Exception, i: int) -> None:
        """Add to an exception which layer of the chain it came from."""
        error.add_note(f"at position {i} of Sequential: {self.layers[i]!r}")

    def __getitem__(self, index: Any) -> Any:
        """Return a layer, or for a slice a Sequential of the same layers."""
        return Sequential(*self.layers[index]) if isinstance(index, slice) else self.layers[index]


class Residual(Layer):
    """y = layer(x) + shortcut(x), with the identity as the default shortcut (He et al., 2016).

    Args:
        layer: keeps the shape of its input, or of what the shortcut makes of it.
        shortcut: a layer of its own where shapes differ, such as a 1 x 1 convolution.

    Example:
        >>> from minidl.backend import asarray
        >>> from minidl.layers import ReLU
        >>> Residual(ReLU()).forward(asarray([-1.0, 2.0]))
        array([-1.,  4.], dtype=float32)
    """

    def __init__(self, layer: Layer, shortcut: Layer | None = None) -> None:
        _check_layer(layer, "Residual: expected a layer")
        if shortcut is not None:
            _check_layer(shortcut, "Residual: expected a layer as shortcut")
        self.layer = layer
        self.shortcut = shortcut

    @property
    def sample_wise(self) -> bool:  # type: ignore[override]  # what its layers say
        """Whether each sample of the output depends on the same sample of the input alone."""
        return self.layer.sample_wise and (self.shortcut is None or self.shortcut.sample_wise)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        short_pullback: Pullback | None
        with _located("in the layer of Residual", self.layer):
            y, pullback = self.layer.vjp(x)
        if self.shortcut is None:
            short, short_pullback = x, None
        else:
            with _located("in the shortcut of Residual", self.shortcut):
                short, short_pullback = self.shortcut.vjp(x)
        self._check(y, short)

        def joined(dy: Array, input_grad: bool = True) -> Any:
            # dx = the pullback of the layer, plus that of the shortcut
            dx, pairs = pullback(dy, input_grad=input_grad)
            if short_pullback is None:
                return (dx + dy if input_grad else None), pairs
            dshort, more = short_pullback(dy, input_grad=input_grad)
            return (dx + dshort if input_grad else None), [*pairs, *more]

        return y + short, joined

    def predict(self, x: Array) -> Array:
        """Add the ``predict`` of both branches."""
        with _located("in the layer of Residual", self.layer):
            y = self.layer.predict(x)
        if self.shortcut is None:
            short = x
        else:
            with _located("in the shortcut of Residual", self.shortcut):
                short = self.shortcut.predict(x)
        self._check(y, short)
        return y + short  # type: ignore[no-any-return]  # Any, as predict gives

    def _check(self, y: Array, short: Array) -> None:
        if y.shape != short.shape:
            raise ValueError(
                f"{self!r}: expected both branches of one shape, "
                f"got {y.shape} and a shortcut of {short.shape}; give it a shortcut layer"
            )

    def extra_repr(self) -> str:
        return f"{self.layer!r}" + (f", shortcut={self.shortcut!r}" if self.shortcut is not None else "")


class Parallel(Container):
    """Branches over the same input, joined along the last axis (``"concat"``) or added up (``"add"``).

    Args:
        *layers: the branches.
        merge: ``"concat"`` or ``"add"``.

    Example:
        >>> from minidl.backend import asarray
        >>> from minidl.layers import Identity, ReLU
        >>> Parallel(Identity(), ReLU()).forward(asarray([[-1.0, 2.0]]))
        array([[-1.,  2.,  0.,  2.]], dtype=float32)
        >>> Parallel(Identity(), ReLU(), merge="add").forward(asarray([[-1.0, 2.0]]))
        array([[-1.,  4.]], dtype=float32)
    """

    def __init__(self, *layers: Layer | Sequence[Layer], merge: str = "concat") -> None:
        super().__init__(*layers)
        if not self.layers:
            raise ValueError("Parallel: expected at least one branch, got none")
        if merge not in ("concat", "add"):
            raise ValueError(f"Parallel: expected merge as 'concat' or 'add', got {merge!r}")
        self.merge = merge

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        parts, pullbacks = zip(*self._each(lambda layer: layer.vjp(x)), strict=True)
        y, split = self._merged(parts)

        def joined(dy: Array, input_grad: bool = True) -> Any:
            # dx = the sum over the branches
            dx: Any = None
            found = []
            for part, pullback in zip(split(dy), pullbacks, strict=True):
                dpart, pairs = pullback(part, input_grad=input_grad)
                found += pairs
                if input_grad:
                    dx = dpart if dx is None else dx + dpart
            return dx, found

        return y, joined

    def predict(self, x: Array) -> Array:
        """Join the ``predict`` of all branches."""
        return self._merged(self._each(lambda layer: layer.predict(x)))[0]

    def _each(self, run: Callable[[Layer], Any]) -> list[Any]:
        """Return what each branch gives, and name the one that raises."""
        found = []
        for i, layer in enumerate(self.layers):
            with _located(f"at position {i} of Parallel", layer):
                found.append(run(layer))
        return found

    def _merged(self, parts: Sequence[Array]) -> tuple[Array, Callable[[Array], Sequence[Array]]]:
        """Return the joined output and the map of its gradient to those of the branches."""
        if self.merge == "concat":
            return ops.concatenate(*parts, axis=-1)
        if any(part.shape != parts[0].shape for part in parts):
            shapes = ", ".join(str(part.shape) for part in parts)
            raise ValueError(f"Parallel: expected branches of one shape to add, got {shapes}")
        return sum(parts[1:], start=parts[0]), lambda dy: [dy] * len(parts)

    def extra_repr(self) -> str:
        return super().extra_repr().rstrip("\n") + f",\n  merge={self.merge!r}\n"
