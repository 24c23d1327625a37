"""Which transport a run gets: MPI with several processes, none with one, an error where it is neither."""

import sys
from types import SimpleNamespace

import pytest

from minidl.distributed import transport


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch):
    for name in transport.TRACES:
        monkeypatch.delenv(name, raising=False)


def test_without_mpi4py_one_process_is_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    found = transport.find()
    assert (found.rank, found.size) == (0, 1)


@pytest.mark.parametrize("name", transport.TRACES)
def test_without_mpi4py_a_process_of_a_launcher_is_told_what_to_install(monkeypatch, name):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv(name, "2")
    with pytest.raises(ImportError, match=r'pip install "minidl\[mpi\]", and an MPI library'):
        transport.find()


def test_without_mpi4py_a_launcher_may_start_one_process(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setenv("PMI_SIZE", "1")
    monkeypatch.setenv("PMI_RANK", "0")
    assert transport.find().size == 1


def test_without_an_mpi_library_too(monkeypatch):
    def broken():
        raise RuntimeError("cannot load MPI library")

    monkeypatch.setattr(transport, "Mpi", broken)
    assert transport.find().size == 1
    monkeypatch.setenv("PMI_RANK", "0")
    with pytest.raises(ImportError, match="cannot load MPI library"):
        transport.find()


def test_a_launcher_of_another_library_is_an_error_not_many_runs_beside_each_other(monkeypatch):
    monkeypatch.setattr(transport, "Mpi", lambda: SimpleNamespace(rank=0, size=1, library=lambda: "MPICH 5"))
    assert isinstance(transport.find(), transport.Alone)
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    with pytest.raises(RuntimeError, match=r"started 4 processes, and none .* another; .*: MPICH 5"):
        transport.find()


def test_several_processes_have_the_transport_of_mpi(monkeypatch):
    mpi = SimpleNamespace(rank=1, size=2)
    monkeypatch.setattr(transport, "Mpi", lambda: mpi)
    monkeypatch.setenv("PMI_SIZE", "2")
    assert transport.find() is mpi


def test_with_mpi4py_one_process_is_alone_as_well():
    pytest.importorskip("mpi4py")
    assert transport.find().size == 1
