"""The model: the equations of NOVA, in plain PyTorch, one part a file."""
