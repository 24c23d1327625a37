"""Deep learning on NumPy and CuPy, small: each operation returns its value and its exact pullback."""

__version__ = "0.1.0"

from typing import TYPE_CHECKING

# First, so that NumPy loads at a small depth of calls: deep down, Python 3.11 takes a third longer for it.
from minidl.backend import asarray as asarray
from minidl.backend import channels_first as channels_first
from minidl.backend import channels_last as channels_last
from minidl.backend import seed as seed
from minidl.backend import synchronize as synchronize
from minidl.backend import to_numpy as to_numpy
from minidl.backend import xp as xp
from minidl.layers import CELU as CELU
from minidl.layers import ELU as ELU
from minidl.layers import GELU as GELU
from minidl.layers import GLU as GLU
from minidl.layers import GRU as GRU
from minidl.layers import LSTM as LSTM
from minidl.layers import RNN as RNN
from minidl.layers import SELU as SELU
from minidl.layers import AdaptiveAvgPool as AdaptiveAvgPool
from minidl.layers import AvgPool as AvgPool
from minidl.layers import BatchNorm as BatchNorm
from minidl.layers import Buffer as Buffer
from minidl.layers import Conv as Conv
from minidl.layers import ConvTranspose as ConvTranspose
from minidl.layers import Dropout as Dropout
from minidl.layers import Embedding as Embedding
from minidl.layers import Flatten as Flatten
from minidl.layers import Function as Function
from minidl.layers import GlobalAvgPool as GlobalAvgPool
from minidl.layers import GlobalMaxPool as GlobalMaxPool
from minidl.layers import GroupNorm as GroupNorm
from minidl.layers import HardSigmoid as HardSigmoid
from minidl.layers import HardSwish as HardSwish
from minidl.layers import HardTanh as HardTanh
from minidl.layers import Identity as Identity
from minidl.layers import InstanceNorm as InstanceNorm
from minidl.layers import Layer as Layer
from minidl.layers import LayerNorm as LayerNorm
from minidl.layers import LeakyReLU as LeakyReLU
from minidl.layers import LearnedPositions as LearnedPositions
from minidl.layers import Linear as Linear
from minidl.layers import LogSoftmax as LogSoftmax
from minidl.layers import MaxPool as MaxPool
from minidl.layers import Mish as Mish
from minidl.layers import MultiHeadAttention as MultiHeadAttention
from minidl.layers import Pad as Pad
from minidl.layers import Parallel as Parallel
from minidl.layers import Parameter as Parameter
from minidl.layers import PReLU as PReLU
from minidl.layers import ReLU as ReLU
from minidl.layers import ReLU6 as ReLU6
from minidl.layers import Reshape as Reshape
from minidl.layers import Residual as Residual
from minidl.layers import RMSNorm as RMSNorm
from minidl.layers import RotaryPositions as RotaryPositions
from minidl.layers import Sequential as Sequential
from minidl.layers import Sigmoid as Sigmoid
from minidl.layers import SiLU as SiLU
from minidl.layers import SinusoidalPositions as SinusoidalPositions
from minidl.layers import Softmax as Softmax
from minidl.layers import Softmin as Softmin
from minidl.layers import Softplus as Softplus
from minidl.layers import Softsign as Softsign
from minidl.layers import Tanh as Tanh
from minidl.layers import TransformerEncoderLayer as TransformerEncoderLayer
from minidl.layers import Upsample as Upsample
from minidl.summary import summary as summary
from minidl.tape import no_grad as no_grad
from minidl.tensor import Tensor as Tensor

if TYPE_CHECKING:
    from minidl import data as data
    from minidl import distributed as distributed
    from minidl import functional as functional
    from minidl import init as init
    from minidl import interop as interop
    from minidl import layers as layers
    from minidl import losses as losses
    from minidl import optim as optim
    from minidl import testing as testing
    from minidl import training as training
    from minidl.files import load_weights as load_weights
    from minidl.files import save_weights as save_weights
    from minidl.functional import jacobian as jacobian
    from minidl.functional import vjp as vjp
    from minidl.losses import L1 as L1
    from minidl.losses import BinaryCrossEntropy as BinaryCrossEntropy
    from minidl.losses import CosineEmbedding as CosineEmbedding
    from minidl.losses import CrossEntropy as CrossEntropy
    from minidl.losses import Focal as Focal
    from minidl.losses import Hinge as Hinge
    from minidl.losses import Huber as Huber
    from minidl.losses import KLDivergence as KLDivergence
    from minidl.losses import MeanSquaredError as MeanSquaredError
    from minidl.losses import MultiMargin as MultiMargin
    from minidl.losses import NegativeLogLikelihood as NegativeLogLikelihood
    from minidl.losses import SmoothL1 as SmoothL1
    from minidl.losses import Triplet as Triplet
    from minidl.losses import accuracy as accuracy
else:
    # What a program may do without is imported when it is first asked for; the wings may need other packages.
    _MODULES = frozenset(
        ("data", "distributed", "functional", "init", "interop", "losses", "optim", "testing", "training")
    )
    _HOMES = {
        **dict.fromkeys(("jacobian", "vjp"), "functional"),
        **dict.fromkeys(("load_weights", "save_weights"), "files"),
        **dict.fromkeys(("L1", "BinaryCrossEntropy", "CosineEmbedding", "CrossEntropy", "Focal"), "losses"),
        **dict.fromkeys(("Hinge", "Huber", "KLDivergence", "MeanSquaredError", "MultiMargin"), "losses"),
        **dict.fromkeys(("NegativeLogLikelihood", "SmoothL1", "Triplet", "accuracy"), "losses"),
    }

    def __getattr__(name: str) -> object:
        """Import a module, or the module of a name, such as `minidl.training`, when it is first asked for."""
        from importlib import import_module

        if name in _MODULES:
            return import_module(f"minidl.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module 'minidl' has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f"minidl.{_HOMES[name]}"), name)
        return value

    def __dir__() -> list[str]:
        """Return the names of the module, those too that were not asked for yet."""
        return sorted({*globals(), *_MODULES, *_HOMES})
