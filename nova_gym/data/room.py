"""Room for the frames of a recording: in memory, or in a file where they are many."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nova_gym.errors import BadInputError

#: Bytes of frames from which on they are kept in a file instead of in memory.
IN_MEMORY = 2**30


def room_for(shape: tuple[int, ...], in_memory: int, folder: Path) -> Tensor:
    """An empty uint8 tensor, in memory or mapped from a file that has no name any more.

    Args:
        shape: of the tensor.
        in_memory: bytes up to which it is held in memory.
        folder: of the file; the system's own for temporary files where that cannot be written to.

    Raises:
        BadInputError: there is no room.
    """
    size = int(np.prod(shape))
    if size <= in_memory:
        return torch.empty(shape, dtype=torch.uint8)
    folder = folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())
    try:
        handle, name = tempfile.mkstemp(prefix="frames-", dir=folder)
        try:
            os.posix_fallocate(handle, 0, size)  # now rather than by a signal while frames are written
            return torch.from_file(name, shared=True, size=size, dtype=torch.uint8).view(shape)
        finally:
            os.close(handle)
            with contextlib.suppress(OSError):
                os.unlink(name)
    except OSError as error:
        raise BadInputError(f"no room for {size / 1e9:.1f} GB of frames in {folder}: {error}") from error
