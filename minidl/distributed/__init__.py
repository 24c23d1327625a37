"""Several processes and machines: one sum over the flat gradient buffer, by MPI."""

from minidl.distributed.group import Group as Group
from minidl.distributed.group import connect as connect
