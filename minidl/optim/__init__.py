"""Optimizers over flat buffers, schedules, gradient clipping, and averages of weights."""

from minidl.optim import schedules as schedules
from minidl.optim.adam import Adam as Adam
from minidl.optim.adam import AdamW as AdamW
from minidl.optim.adaptive import Adadelta as Adadelta
from minidl.optim.adaptive import Adagrad as Adagrad
from minidl.optim.adaptive import RMSProp as RMSProp
from minidl.optim.average import EMA as EMA
from minidl.optim.base import Optimizer as Optimizer
from minidl.optim.clip import clip_grad_norm as clip_grad_norm
from minidl.optim.clip import clip_grad_value as clip_grad_value
from minidl.optim.lion import Lion as Lion
from minidl.optim.moments import Adamax as Adamax
from minidl.optim.moments import NAdam as NAdam
from minidl.optim.moments import RAdam as RAdam
from minidl.optim.muon import Muon as Muon
from minidl.optim.sgd import SGD as SGD
