"""The kernels: the same formulas compiled, for CPU and CUDA."""
