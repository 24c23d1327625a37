"""Training: what a loop needs around its steps. Checkpoints keep all that the next step depends on."""

from minidl.training.checkpoints import Checkpoints as Checkpoints
