"""Several processes and machines: one sum over the flat gradient buffer, by MPI."""
