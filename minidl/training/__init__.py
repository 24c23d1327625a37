"""Training: what a loop needs around its steps. Checkpoints keep all that the next step depends on."""

from minidl.training import plots as plots
from minidl.training.accumulation import micro_batches as micro_batches
from minidl.training.checkpoints import Checkpoints as Checkpoints
from minidl.training.confusion import F1 as F1
from minidl.training.confusion import ConfusionMatrix as ConfusionMatrix
from minidl.training.confusion import Precision as Precision
from minidl.training.confusion import Recall as Recall
from minidl.training.early_stopping import EarlyStopping as EarlyStopping
from minidl.training.evaluation import evaluate as evaluate
from minidl.training.events import Event as Event
from minidl.training.explain import explain as explain
from minidl.training.fit import fit as fit
from minidl.training.history import History as History
from minidl.training.metrics import R2 as R2
from minidl.training.metrics import Accuracy as Accuracy
from minidl.training.metrics import Mean as Mean
from minidl.training.metrics import Metric as Metric
from minidl.training.metrics import TopK as TopK
from minidl.training.mixed_precision import MixedPrecision as MixedPrecision
from minidl.training.nonfinite import NonFinite as NonFinite
from minidl.training.nonfinite import find_nonfinite as find_nonfinite
from minidl.training.progress import Progress as Progress
