"""Normalisation layers: a learned scale and shift, and for BatchNorm the statistics that evaluation uses."""

from typing import Any

from minidl import init, ops
from minidl.backend import Array, Seed, check_int, to_numpy, xp
from minidl.layers.base import Layer, Pullback
from minidl.layers.parameter import Buffer, Parameter
from minidl.ops._options import read_number
from minidl.ops.norm import Peers, check_eps, moved, shared_batch_norm


class _Scaled(Layer):
    """A scale that starts at one."""

    def __init__(
        self, shape: tuple[Any, ...], eps: float, seed: Seed, dtype: Any, weight_init: init.Initializer | None
    ) -> None:
        owner = type(self).__name__
        sizes = tuple(int(n) if isinstance(n, (int, xp.integer)) and n is not True else 0 for n in shape)
        if not sizes or min(sizes) < 1:
            raise ValueError(f"{owner}: expected positive ints to normalise over, got {shape}")
        ones = init.constant(1.0) if weight_init is None else weight_init
        self.weight = Parameter(init.draw(ones, sizes, seed=seed, dtype=dtype), name="weight")
        self.eps = check_eps(eps, owner)

    def extra_repr(self) -> str:
        shape = self.weight.shape
        return f"{shape[0] if len(shape) == 1 else shape}" + ("" if self.eps == 1e-5 else f", eps={self.eps}")


class _Affine(_Scaled):
    """A scale that starts at one and a shift that starts at zero."""

    def __init__(
        self, shape: tuple[Any, ...], eps: float, seed: Seed, dtype: Any, weight_init: init.Initializer | None
    ) -> None:
        super().__init__(shape, eps, seed, dtype, weight_init)
        self.bias = Parameter(init.zeros(shape, dtype=dtype), name="bias")


class BatchNorm(_Affine):
    """Normalise each channel, the last axis, over the batch and all positions; see `functional.batch_norm`.

    A training ``vjp`` uses the statistics of its batch and moves the running ones towards them, by
    ``running = (1 - momentum) running + momentum new``, with the unbiased variance. Evaluation and
    ``predict`` use the running statistics. An empty batch leaves them as they are.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        momentum: the weight of the new statistics, in ``[0, 1]``; ``None`` keeps the mean over all batches.
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
        momentum: float | None = 0.1,
        *,
        seed: Seed = None,
        dtype: Any = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        super().__init__((num_features,), eps, seed, dtype, weight_init)
        self.momentum = None if momentum is None else read_number(momentum, "momentum", "BatchNorm")
        if self.momentum is not None and not 0 <= self.momentum <= 1:
            raise ValueError(f"BatchNorm: expected momentum in [0, 1] or None, got {momentum}")
        wide = xp.result_type(self.weight.dtype, xp.float32)
        self.running_mean = Buffer(xp.zeros(num_features, dtype=wide))
        self.running_var = Buffer(xp.ones(num_features, dtype=wide))
        if momentum is None:
            self.batches = Buffer(to_numpy(0))  # on the host, to be read without a wait

    peers: Peers | None = None
    """The other processes over whose parts of the batch to normalise too; `minidl.distributed` sets it."""

    @property
    def sample_wise(self) -> bool:  # type: ignore[override]  # it depends on the mode
        """Whether samples do not see each other: in evaluation."""
        return not self.training

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        if not self.training:
            return self._by_running_statistics(x)
        if self.peers is None:
            (y, mean, var), pullback = self.bind(ops.batch_norm, x, self.weight, self.bias, eps=self.eps)
            count = x.size // x.shape[-1]
        else:
            (y, mean, var), pullback = self.bind(
                shared_batch_norm, x, self.weight, self.bias, eps=self.eps, peers=self.peers
            )
            count = self.peers.count
        if count:
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

    def _share_of_batch(self) -> float:
        """Count a batch; return its weight in the mean of all."""
        count = int(self.batches.data) + 1
        self.batches.data = to_numpy(count)
        return 1 / count

    def _advance(self, mean: Array, var: Array) -> None:
        """Move the running statistics towards those of a batch."""
        weight = self._share_of_batch() if self.momentum is None else self.momentum
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            running.data = moved(running.data, new, weight)

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
        super().__init__(_as_shape(normalized_shape), eps, seed, dtype, weight_init)
        if self.weight.data.size == 1:
            raise ValueError(
                f"LayerNorm: expected more than one value to normalise over, got {normalized_shape}; "
                "the variance of one value is zero"
            )

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        shape = self.weight.shape
        return self.bind(ops.layer_norm, x, self.weight, self.bias, normalized_shape=shape, eps=self.eps)


class GroupNorm(_Affine):
    """Normalise each group of neighbouring channels, sample by sample; see `functional.group_norm`.

    Args:
        num_groups: the number of groups, which divides the channels.
        num_features: the number of channels.
        eps: added to the variance.
        seed, dtype, weight_init: of the scale ``(C,)``, which by default starts at one.

    Example:
        >>> from minidl.backend import asarray
        >>> GroupNorm(2, 4).forward(asarray([[0.0, 2000.0, 0.0, 8000.0]]))
        array([[-1.,  1., -1.,  1.]], dtype=float32)
    """

    sample_wise = True

    def __init__(
        self,
        num_groups: int,
        num_features: int,
        eps: float = 1e-5,
        *,
        seed: Seed = None,
        dtype: Any = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        super().__init__((num_features,), eps, seed, dtype, weight_init)
        num_groups = check_int(num_groups, "GroupNorm", "num_groups")
        if num_groups < 1 or num_features % num_groups:
            raise ValueError(
                f"GroupNorm: expected num_groups that divide the {num_features} features, got {num_groups}"
            )
        self.num_groups = num_groups

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.group_norm, x, self.weight, self.bias, groups=self.num_groups, eps=self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {super().extra_repr()}"


class InstanceNorm(_Affine):
    """Normalise each channel over the positions of its own sample; see `functional.instance_norm`.

    Args:
        num_features: the number of channels.
        eps: added to the variance.
        seed, dtype, weight_init: of the scale ``(C,)``, which by default starts at one.

    Example:
        >>> from minidl.backend import asarray
        >>> InstanceNorm(1).forward(asarray([[[0.0], [2000.0]], [[0.0], [8000.0]]])).reshape(2, 2)
        array([[-1.,  1.],
               [-1.,  1.]], dtype=float32)
    """

    sample_wise = True

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        *,
        seed: Seed = None,
        dtype: Any = None,
        weight_init: init.Initializer | None = None,
    ) -> None:
        super().__init__((num_features,), eps, seed, dtype, weight_init)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.instance_norm, x, self.weight, self.bias, eps=self.eps)


class RMSNorm(_Scaled):
    """Divide each sample by the root of its mean square over the last axes; see `functional.rms_norm`.

    Args:
        normalized_shape: the lengths of those axes; an int means the last one.
        eps: added to the mean square.
        seed, dtype, weight_init: of the scale, which has the normalized shape and by default starts at one.

    Example:
        >>> from minidl.backend import asarray
        >>> RMSNorm(2).forward(asarray([[1.0, 7.0]])).round(3)
        array([[0.2, 1.4]], dtype=float32)
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
        super().__init__(_as_shape(normalized_shape), eps, seed, dtype, weight_init)

    def vjp(self, x: Array) -> tuple[Array, Pullback]:
        return self.bind(ops.rms_norm, x, self.weight, normalized_shape=self.weight.shape, eps=self.eps)


def _as_shape(normalized_shape: int | tuple[int, ...]) -> tuple[int, ...]:
    return tuple(normalized_shape) if isinstance(normalized_shape, (tuple, list)) else (normalized_shape,)
