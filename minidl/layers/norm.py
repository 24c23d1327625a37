"""Normalisation layers: a learned scale and shift, and for BatchNorm the statistics that evaluation uses."""

from typing import Any

from minidl import init, ops
from minidl.backend import Array, Seed, xp
from minidl.layers.base import Layer, Pullback
from minidl.layers.parameter import Buffer, Parameter


class _Affine(Layer):
    """A scale that starts at one and a shift that starts at zero."""

    def __init__(
        self, shape: tuple[Any, ...], eps: float, seed: Seed, dtype: Any, weight_init: init.Initializer | None
    ) -> None:
        owner = type(self).__name__
        if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"{owner}: expected positive ints to normalise over, got {shape}")
        if not eps > 0:
            raise ValueError(f"{owner}: expected eps > 0, got {eps}")
        ones = init.constant(1.0) if weight_init is None else weight_init
        self.weight = Parameter(init.draw(ones, shape, seed=seed, dtype=dtype), name="weight")
        self.bias = Parameter(init.zeros(shape, dtype=dtype), name="bias")
        self.eps = eps

    def extra_repr(self) -> str:
        shape = self.weight.shape
        return f"{shape[0] if len(shape) == 1 else shape}" + ("" if self.eps == 1e-5 else f", eps={self.eps}")


class BatchNorm(_Affine):
    """Normalise each channel, the last axis, over the batch and all positions; see `functional.batch_norm`.

    A training ``vjp`` uses the statistics of its batch and moves the running ones towards them, by
    ``running = (1 - momentum) running + momentum new``, with the unbiased variance. Evaluation and
    ``predict`` use the running statistics. An empty batch leaves them as they are.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: the weight of the new statistics, in ``[0, 1]``.
        seed, dtype, weight_init: of the scale ``(C,)``, which by default starts at one.

    Example:
        >>> from minidl.backend import asarray
        >>> layer = BatchNorm(1, momentum=0.5)
        >>> layer.forward(asarray([[1.0], [2.0], [3.0]])).ravel()
        array([-1.2247, 0. , 1.2247], dtype=float32)
        >>> layer.running_mean.data, layer.running_var.data
        (array([1.], dtype=float32), array([1.], dtype=float32))
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        *,
        seed: Seed = None,
        dtype: Any = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        super().__init__((num_features,), eps, seed, dtype, weight_init)
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: expected momentum in [0, 1], got {momentum}")
        self.momentum = momentum
        wide = xp.result_type(self.weight.dtype, xp.float32)
        self.running_mean = Buffer(xp.zeros(num_features, dtype=wide))
        self.running_var = Buffer(xp.ones(num_features, dtype=wide))

    @property
    def sample_wise(self) -> bool:  # type: ignore[override]  # it depends on the mode
        """Whether samples do not see each other: in evaluation."""
        return not self.training

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        if not self.training:
            return self._by_running_statistics(x)
        (y, mean, var), pullback = self.bind(ops.batch_norm, x, self.weight, self.bias, eps=self.eps)
        if x.size:
            count = x.size // x.shape[-1]
            self._advance(mean, var * (count / (count - 1)))
        return y, pullback

    def predict(self, x: Array) -> Array:
        """Normalise by the running statistics, whatever the mode."""
        return self._by_running_statistics(x)[0]

    def _by_running_statistics(self, x: Array) -> tuple[Array, Pullback]:
        mean, var = self.running_mean.data, self.running_var.data
        return self.bind(
            ops.batch_norm_inference, x, self.weight, self.bias, mean=mean, var=var, eps=self.eps
        )

    def _advance(self, mean: Array, var: Array) -> None:
        """Move the running statistics towards those of a batch."""
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            running.data = (1 - self.momentum) * running.data + self.momentum * new

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.momentum == 0.1 else f", momentum={self.momentum}")


class LayerNorm(_Affine):
    """Normalise each sample over its last axes; see `functional.layer_norm`.

    Args:
        normalized_shape: the lengths of those axes; an int means the last one.
        eps: added to the variance.
        seed, dtype, weight_init: of the scale, which has the normalized shape and by default starts at one.

    Example:
        >>> from minidl.backend import asarray
        >>> LayerNorm(3).forward(asarray([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]))
        array([[-1.2247,  0.    ,  1.2247],
               [-1.2247,  0.    ,  1.2247]], dtype=float32)
    """

    sample_wise = True

    def __init__(
        self,
        normalized_shape: int | tuple[int, ...],
        eps: float = 1e-5,
        *,
        seed: Seed = None,
        dtype: Any = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        super().__init__(shape, eps, seed, dtype, weight_init)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        shape = self.weight.shape
        return self.bind(ops.layer_norm, x, self.weight, self.bias, normalized_shape=shape, eps=self.eps)
