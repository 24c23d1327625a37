"""Layers: functions with parameters, chained by containers."""

from minidl.layers.activation import LogSoftmax as LogSoftmax
from minidl.layers.activation import ReLU as ReLU
from minidl.layers.activation import Sigmoid as Sigmoid
from minidl.layers.activation import Softmax as Softmax
from minidl.layers.activation import Tanh as Tanh
from minidl.layers.base import Layer as Layer
from minidl.layers.containers import Parallel as Parallel
from minidl.layers.containers import Residual as Residual
from minidl.layers.containers import Sequential as Sequential
from minidl.layers.conv import Conv as Conv
from minidl.layers.dropout import Dropout as Dropout
from minidl.layers.linear import Linear as Linear
from minidl.layers.norm import BatchNorm as BatchNorm
from minidl.layers.norm import LayerNorm as LayerNorm
from minidl.layers.parameter import Buffer as Buffer
from minidl.layers.parameter import Parameter as Parameter
from minidl.layers.pool import AvgPool as AvgPool
from minidl.layers.pool import GlobalAvgPool as GlobalAvgPool
from minidl.layers.pool import GlobalMaxPool as GlobalMaxPool
from minidl.layers.pool import MaxPool as MaxPool
from minidl.layers.shape import Flatten as Flatten
from minidl.layers.shape import Function as Function
from minidl.layers.shape import Identity as Identity
from minidl.layers.shape import Reshape as Reshape
