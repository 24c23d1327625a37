"""The rows of the table, by kind of layer."""
