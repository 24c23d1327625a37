"""Pictures of a training: its curves, a schedule, first filters, a confusion matrix, mistakes.

Each function returns a matplotlib ``Figure`` and writes it to a file where a ``path`` is named. No window is
opened and nothing global is touched, so they run on any machine: ``pip install "minidl[plots]"``.
"""

from minidl.training.plots.kernels import filters as filters
from minidl.training.plots.lines import curves as curves
from minidl.training.plots.lines import schedule as schedule
from minidl.training.plots.matrix import confusion_matrix as confusion_matrix
from minidl.training.plots.mistaken import mistakes as mistakes
