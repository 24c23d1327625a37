"""Training: what a loop needs around its steps. Checkpoints keep all that the next step depends on."""

from minidl.training.accumulation import micro_batches as micro_batches
from minidl.training.checkpoints import Checkpoints as Checkpoints
from minidl.training.mixed_precision import MixedPrecision as MixedPrecision
