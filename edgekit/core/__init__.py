"""What the techniques share: choosing layers, finding kernels, holding weights, reading graphs."""
