"""Layer: a function with parameters, over the pair of a value and its pullback."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self, TypeAlias

from minidl.backend import DEBUG, Array, beyond, check_int, copy_into, xp
from minidl.layers.parameter import Buffer, Parameter
from minidl.tape import call_pullback, guard
from minidl.tensor import Tensor, check_upstream, constant, record, wants_gradient

Pairs: TypeAlias = "list[tuple[Parameter, Array]]"
Pullback: TypeAlias = "Callable[..., tuple[Any, Pairs]]"


class Layer:
    """A function with parameters; a subclass writes ``vjp``, and ``extra_repr`` where it has arguments.

    ``forward`` and ``backward`` are the pair for hand-written loops; ``vjp`` returns the value and its
    pullback and keeps nothing; ``predict`` is evaluation math; a call takes an array or a Tensor.

    Example:
        >>> from minidl import ops
        >>> from minidl.backend import asarray
        >>> class Scale(Layer):
        ...     def __init__(self, features):
        ...         self.weight = Parameter([2.0] * features, name="weight")
        ...     def vjp(self, x):
        ...         return self.bind(ops.multiply, x, self.weight)
        >>> layer = Scale(2)
        >>> layer.forward(asarray([[1.0, 3.0]]))
        array([[2., 6.]], dtype=float32)
        >>> layer.backward(asarray([[1.0, 1.0]]))
        array([[2., 2.]], dtype=float32)
        >>> layer.weight.grad
        array([1., 3.], dtype=float32)
    """

    training = True
    sample_wise = (
        False  # True promises: each sample of the output depends on the same sample of the input alone
    )
    _step: tuple[Any, Pullback] | None = None

    def vjp(self, x: Any) -> tuple[Any, Pullback]:
        """Return the value and ``pullback(dy, input_grad=True) -> (dx, [(parameter, gradient), ...])``."""
        raise NotImplementedError(f"{type(self).__name__}: a layer defines vjp(x)")

    def bind(
        self, op: Callable[..., Any], x: Any, *parameters: Parameter | None, **options: Any
    ) -> tuple[Any, Pullback]:
        """Run an op on the input and the parameters' data, and pair its gradients with the parameters.

        Args:
            op: ``op(x, *arrays, **options) -> (y, pullback)``.
            x: the input.
            *parameters: further arguments of the op; ``None`` where one is absent.
            **options: handed to the op.
        """
        arrays = [None if p is None else p._data for p in parameters]
        try:
            y, pullback = op(x, *arrays, **options)
        except Exception as error:
            error.add_note(f"in {self!r}")
            raise
        if DEBUG:
            pullback = self._debug(x, arrays, y, pullback)

        def paired(dy: Any, input_grad: bool = True) -> tuple[Any, Pairs]:
            wanted = [p is not None and p.requires_grad for p in parameters]
            if not input_grad and not any(wanted):
                return None, []
            gradients = call_pullback(pullback, dy, input_grad)
            if not parameters:
                return gradients, []
            dx, *rest = gradients
            pairs = [
                (p, g) for p, g, want in zip(parameters, rest, wanted, strict=True) if p is not None and want
            ]
            return (dx if input_grad else None), pairs

        return y, paired

    def _debug(self, x: Any, arrays: list[Any], y: Any, pullback: Callable[..., Any]) -> Callable[..., Any]:
        """Name the layer that makes the first NaN, and watch its arrays until the backward pass."""
        outputs = y if isinstance(y, tuple) else (y,)
        first = outputs[0]
        inputs = x if isinstance(x, tuple) else (x,)
        if xp.isnan(first).any() and not any(a.dtype.kind == "f" and xp.isnan(a).any() for a in inputs):
            raise FloatingPointError(f"{self!r}: the first NaN appears in its output")
        return guard(repr(self), [*inputs, *arrays, *outputs], pullback)

    def forward(self, x: Any) -> Any:
        """Return the output for an array, and keep what ``backward`` needs."""
        self._step = None
        self._step = self.vjp(x)
        return self._step[0]

    def backward(self, dy: Any, input_grad: bool = True) -> Any:
        """Add the gradients of the parameters to their ``grad`` and return that of the input.

        Args:
            dy: the gradient of the output, of its shape.
            input_grad: ``False`` to save the work for the gradient of the input, and return ``None``.

        Raises:
            RuntimeError: there was no forward, or it had its backward already.
            ValueError: a gradient of another shape.
        """
        if self._step is None:
            raise RuntimeError(
                f"{self!r}: backward without a forward; call forward once before each backward"
            )
        y, pullback = self._step
        dy = check_upstream(dy, y, self)
        self._step = None
        dx, pairs = pullback(dy, input_grad=input_grad)
        for parameter, gradient in pairs:
            parameter.accumulate(gradient)
        return dx

    def predict(self, x: Any) -> Any:
        """Return the output as in evaluation, and keep nothing for a backward pass."""
        return self.vjp(x)[0]

    def __call__(self, x: Any) -> Any:
        """Compute ``forward`` of an array; a Tensor is recorded as one step and gives a Tensor."""
        if not isinstance(x, Tensor):
            return self.forward(x)
        y, pullback = self.vjp(x._data)
        if not wants_gradient([x, *self.parameters()]):
            return constant(y)

        def backward(dy: Any) -> list[tuple[Tensor, Array]]:
            dx, pairs = pullback(dy, input_grad=x.requires_grad)
            return [*pairs, (x, dx)] if x.requires_grad else [*pairs]

        return record(type(self).__name__, y, [x], backward)

    def children(self) -> Iterator[tuple[str, Any]]:
        """Yield the named parts of this layer: by default its attributes, in the order they were set."""
        yield from vars(self).items()

    def _walk(self) -> Iterator[tuple[str, Any]]:
        """Yield every layer, parameter and buffer below this one once, with the path that leads to it."""
        seen: set[int] = set()
        stack: list[tuple[str, Any]] = [("", self)]
        while stack:
            path, value = stack.pop()
            if isinstance(value, (Layer, Parameter, Buffer)):
                if id(value) in seen:
                    continue
                seen.add(id(value))
                yield path, value
            stack.extend((f"{path}.{name}" if path else name, part) for name, part in reversed(_parts(value)))

    def named_layers(self) -> Iterator[tuple[str, "Layer"]]:
        """Yield ``(path, layer)`` for this layer (whose path is empty) and all below it."""
        return ((path, value) for path, value in self._walk() if isinstance(value, Layer))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield ``(path, parameter)`` in order of definition, a shared one once and under its first path."""
        return ((path, value) for path, value in self._walk() if isinstance(value, Parameter))

    def parameters(self) -> list[Parameter]:
        """Return all parameters in order of definition, a shared one once."""
        return [value for _, value in self.named_parameters()]

    def buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield ``(path, buffer)`` in order of definition."""
        return ((path, value) for path, value in self._walk() if isinstance(value, Buffer))

    def state(self) -> dict[str, Array]:
        """Return a copy of every parameter and buffer by its path."""
        return {path: value.data.copy() for path, value in self._walk() if not isinstance(value, Layer)}

    def load_state(self, state: Mapping[str, Array], strict: bool = True) -> None:
        """Overwrite parameters and buffers by those of a ``state()``, once all of it is checked.

        Args:
            state: arrays by path, of either backend.
            strict: refuse missing and unexpected paths; shapes must always agree.

        Raises:
            ValueError: with the lists of missing, unexpected and mis-shaped paths, and of numbers too large.
        """
        if not hasattr(state, "keys"):
            raise TypeError(f"load_state: expected arrays by path, got {type(state).__name__}")
        own = {path: value for path, value in self._walk() if not isinstance(value, Layer)}
        problems = []
        if strict:
            problems += [f"missing: {path}" for path in own if path not in state]
            problems += [f"unexpected: {path}" for path in state if path not in own]
        for path in own.keys() & state.keys():
            if not hasattr(state[path], "dtype"):
                problems.append(f"type of {path}: expected an array, got {type(state[path]).__name__}")
            elif own[path].data.shape != state[path].shape:
                problems.append(f"shape of {path}: expected {own[path].data.shape}, got {state[path].shape}")
            elif own[path].data.dtype.kind != state[path].dtype.kind:
                problems.append(f"dtype of {path}: expected {own[path].data.dtype}, got {state[path].dtype}")
            elif number := beyond(state[path], own[path].data.dtype):
                problems.append(f"range of {path}: {number}")
        if problems:
            raise ValueError("load_state: nothing was loaded\n  " + "\n  ".join(sorted(problems)))
        for path in own.keys() & state.keys():
            copy_into(own[path].data, state[path])

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` here and in all layers below; return the layer."""
        for _, layer in self.named_layers():
            layer.training = mode
        return self

    def eval(self) -> Self:
        """Clear ``training`` here and in all layers below; return the layer."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Set all gradients to zeros."""
        for parameter in self.parameters():
            parameter.zero_grad()

    def freeze(self) -> Self:
        """Stop gradients of the parameters; those of inputs still flow. Statistics stop with ``eval()``."""
        return self._require_grad(False)

    def unfreeze(self) -> Self:
        """Let the parameters have gradients again."""
        return self._require_grad(True)

    def _require_grad(self, value: bool) -> Self:
        for parameter in self.parameters():
            parameter.requires_grad = value
        return self

    def astype(self, dtype: Any) -> Self:
        """Convert parameters, gradients and buffers, these to at least single; return the layer."""
        if xp.dtype(dtype).kind != "f":
            raise TypeError(f"astype: expected a floating-point dtype, got {xp.dtype(dtype)}")
        for parameter in self.parameters():
            grad = parameter.grad
            parameter.rebind(parameter.data.astype(dtype), None if grad is None else grad.astype(dtype))
        for _, buffer in self.buffers():
            if buffer.data.dtype.kind == "f":
                buffer.data = buffer.data.astype(xp.promote_types(dtype, xp.float32))
        return self

    def extra_repr(self) -> str:
        """Return the arguments of the constructor, as written."""
        return ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_step"}


def _parts(value: Any) -> list[tuple[str, Any]]:
    """Return the named parts of a layer or a collection; of anything else, none."""
    if isinstance(value, Layer):
        return list(value.children())
    if isinstance(value, dict):
        return [(str(name), part) for name, part in value.items()]
    if isinstance(value, (list, tuple)):
        return [(str(i), part) for i, part in enumerate(value)]
    return []


def check_sizes(owner: str, **sizes: object) -> tuple[int, ...]:
    """Return the sizes given to a constructor as Python's ints; refuse those that are not positive ints."""
    numbers = {name: check_int(size, owner, name) for name, size in sizes.items()}
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{owner}: expected {name} of at least 1, got {number}")
    return tuple(numbers.values())
