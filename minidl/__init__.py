"""Deep learning on NumPy and CuPy, small: each operation returns its value and its exact pullback."""

__version__ = "0.1.0"

from minidl import functional as functional
from minidl import init as init
from minidl import layers as layers
from minidl import losses as losses
from minidl import optim as optim
from minidl.backend import asarray as asarray
from minidl.backend import channels_first as channels_first
from minidl.backend import channels_last as channels_last
from minidl.backend import seed as seed
from minidl.backend import synchronize as synchronize
from minidl.backend import to_numpy as to_numpy
from minidl.backend import xp as xp
from minidl.files import load_weights as load_weights
from minidl.files import save_weights as save_weights
from minidl.functional import jacobian as jacobian
from minidl.functional import vjp as vjp
from minidl.layers import BatchNorm as BatchNorm
from minidl.layers import Buffer as Buffer
from minidl.layers import Dropout as Dropout
from minidl.layers import Flatten as Flatten
from minidl.layers import Function as Function
from minidl.layers import Identity as Identity
from minidl.layers import Layer as Layer
from minidl.layers import LayerNorm as LayerNorm
from minidl.layers import Linear as Linear
from minidl.layers import LogSoftmax as LogSoftmax
from minidl.layers import Parallel as Parallel
from minidl.layers import Parameter as Parameter
from minidl.layers import ReLU as ReLU
from minidl.layers import Reshape as Reshape
from minidl.layers import Residual as Residual
from minidl.layers import Sequential as Sequential
from minidl.layers import Sigmoid as Sigmoid
from minidl.layers import Softmax as Softmax
from minidl.layers import Tanh as Tanh
from minidl.losses import CrossEntropy as CrossEntropy
from minidl.losses import MeanSquaredError as MeanSquaredError
from minidl.losses import accuracy as accuracy
from minidl.tensor import Tensor as Tensor
from minidl.tensor import no_grad as no_grad
