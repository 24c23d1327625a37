"""One real batch as a page: what each layer computes, forward and back, down to single numbers."""

from minidl.training.explain.entry import Entry as Entry
from minidl.training.explain.explaining import explain as explain
from minidl.training.explain.explanation import Explanation as Explanation
from minidl.training.explain.losses import LossRecord as LossRecord
from minidl.training.explain.records import Record as Record
from minidl.training.explain.records import Statistics as Statistics
from minidl.training.explain.worked import Worked as Worked
from minidl.training.explain.worked import Working as Working
