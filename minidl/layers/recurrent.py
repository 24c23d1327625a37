"""Recurrent layers: sequences in, the hidden state of every step out; the math is in `minidl.functional`."""

from collections.abc import Callable
from typing import Any, ClassVar

from minidl import init, ops
from minidl.backend import Array, Seed, generator
from minidl.layers._repr import arguments
from minidl.layers._sequence import SequenceLayer
from minidl.layers.base import Pullback, check_sizes
from minidl.layers.parameter import Parameter
from minidl.ops.recurrent import check_nonlinearity


class _Recurrent(SequenceLayer):
    """What RNN, LSTM and GRU share: their weights, and inputs with or without an initial state."""

    sample_wise = True
    gates: ClassVar[int]
    states: ClassVar[int] = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        self.input_size, self.hidden_size, self.num_layers = check_sizes(
            type(self).__name__, input_size=input_size, hidden_size=hidden_size, num_layers=num_layers
        )
        self.bias = bias
        self.bidirectional = bidirectional
        rng, width = generator(seed), self.gates * self.hidden_size
        for name, size in self._runs():
            for kind, rows in (("ih", size), ("hh", self.hidden_size)):
                weight = init.draw(weight_init, (rows, width), seed=rng, dtype=dtype)
                setattr(self, f"weight_{kind}_{name}", Parameter(weight, name=f"weight_{kind}_{name}"))
            for kind in ("ih", "hh") if bias else ():
                zeros = init.zeros((width,), dtype=dtype)
                setattr(self, f"bias_{kind}_{name}", Parameter(zeros, name=f"bias_{kind}_{name}"))

    def _runs(self) -> list[tuple[str, int]]:
        """Return the name of each direction of each layer, and the size of its input."""
        suffixes = ("", "_reverse") if self.bidirectional else ("",)
        sizes = [self.input_size] + [self.hidden_size * len(suffixes)] * (self.num_layers - 1)
        return [(f"l{layer}{suffix}", size) for layer, size in enumerate(sizes) for suffix in suffixes]

    def _bound(self, op: Callable[..., Any], x: Any, **options: Any) -> tuple[Any, Pullback]:
        """Bind an op of the input, the initial states and the weights; a bare input gives a bare output."""
        kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        weights = [getattr(self, f"{kind}_{name}", None) for name, _ in self._runs() for kind in kinds]
        inputs = 1 + self.states
        if isinstance(x, tuple) and len(x) != inputs:
            raise ValueError(
                f"{self!r}: expected the input and {self.states} initial states, got {len(x)} arrays"
            )

        def of_parts(x: Any, *arrays: Any, **options: Any) -> Any:
            bare = not isinstance(x, tuple)
            y, pullback = op(*((x, *(None,) * self.states) if bare else x), *arrays, **options)

            def narrowed(dy: Any, *, input_grad: bool = True) -> Any:
                dy = (dy, *(None,) * self.states) if bare else dy
                gradients = pullback(dy, input_grad=input_grad)
                return gradients[0] if bare else gradients[:inputs], *gradients[inputs:]

            return y[0] if bare else y, narrowed

        return self.bind(of_parts, x, *weights, bidirectional=self.bidirectional, **options)

    def extra_repr(self) -> str:
        return arguments(
            self.input_size,
            self.hidden_size,
            num_layers=(self.num_layers, 1),
            bias=(self.bias, True),
            bidirectional=(self.bidirectional, False),
        )


class RNN(_Recurrent):
    """The plain recurrent network: h_t = tanh(x_t w_ih + b_ih + h_(t-1) w_hh + b_hh); see `functional.rnn`.

    An array ``(N, T, C)`` gives ``(N, T, H directions)``; a tuple ``(x, h)`` with the initial state
    ``(N, layers directions, H)`` gives ``(y, h)`` with the last one. ``forward``, ``predict``, ``vjp`` and a
    call also take ``mask``, booleans ``(N, T)`` or lengths ``(N,)``.

    Args:
        input_size: C.
        hidden_size: H.
        num_layers: how many networks, each of which reads the output of the one below.
        bias: whether to add the biases.
        bidirectional: whether a second network reads each sequence from its end.
        nonlinearity: ``"tanh"`` or ``"relu"``.
        seed, dtype, weight_init: of the fresh weights ``weight_ih_l0``, ``weight_hh_l0`` and so on.

    Example:
        >>> from minidl.backend import xp
        >>> RNN(3, 5, seed=0).forward(xp.zeros((2, 7, 3), xp.float32)).shape
        (2, 7, 5)
    """

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        bidirectional: bool = False,
        nonlinearity: str = "tanh",
        *,
        seed: Seed = None,
        dtype: init.DType = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        check_nonlinearity(nonlinearity, "RNN")
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            bidirectional,
            seed=seed,
            dtype=dtype,
            weight_init=weight_init,
        )
        self.nonlinearity = nonlinearity

    def vjp(self, x: Any, mask: Array | None = None) -> tuple[Any, Pullback]:
        return self._bound(ops.rnn, x, nonlinearity=self.nonlinearity, mask=mask)

    def extra_repr(self) -> str:
        changed = arguments(nonlinearity=(self.nonlinearity, "tanh"))
        return ", ".join(filter(None, [super().extra_repr(), changed]))


class LSTM(_Recurrent):
    """Long short-term memory; see `functional.lstm`.

    As `RNN`, with two states: a tuple ``(x, h, c)`` gives ``(y, h, c)``.

    Example:
        >>> from minidl.backend import xp
        >>> layer = LSTM(3, 5, bidirectional=True, seed=0)
        >>> h = c = xp.zeros((2, 2, 5), xp.float32)
        >>> y, h, c = layer.forward((xp.zeros((2, 7, 3), xp.float32), h, c))
        >>> y.shape, h.shape, c.shape
        ((2, 7, 10), (2, 2, 5), (2, 2, 5))
    """

    gates = 4
    states = 2

    def vjp(self, x: Any, mask: Array | None = None) -> tuple[Any, Pullback]:
        return self._bound(ops.lstm, x, mask=mask)


class GRU(_Recurrent):
    """The gated recurrent unit; see `functional.gru`. Inputs and outputs are as those of `RNN`.

    Example:
        >>> from minidl.backend import asarray, xp
        >>> layer = GRU(3, 5, num_layers=2, seed=0)
        >>> y = layer.forward(xp.zeros((2, 7, 3), xp.float32), mask=asarray([7, 4]))
        >>> bool((y[1, 4:] == 0).all())
        True
    """

    gates = 3

    def vjp(self, x: Any, mask: Array | None = None) -> tuple[Any, Pullback]:
        return self._bound(ops.gru, x, mask=mask)
