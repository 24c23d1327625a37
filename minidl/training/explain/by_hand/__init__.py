"""Single numbers of each kind of layer by plain arithmetic on the host, without the layer's own code."""
