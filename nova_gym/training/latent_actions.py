"""The coordinates of latent actions after training, and the codes that stand for them."""

from __future__ import annotations

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Generator, Tensor

from nova_gym.data import Clips
from nova_gym.model.coordinates import change_latent_actions
from nova_gym.model.world_model import WorldModel

#: Transitions whose latent actions are looked at, evenly spread.
SAMPLE = 8192
#: A cell moves if its latent action is longer than this share of the longest.
MOVING = 0.05


@torch.no_grad()
def moving_cells(model: WorldModel, clips: Clips, states: Tensor) -> Tensor:
    """(n, U) float32 on the CPU: the latent actions of cells that move, inferred from the recording.

    Args:
        model: with trained inverse dynamics.
        clips: the recording.
        states: (F, K, rows, cols) float32 of all its frames.
    """
    inferred = []
    for source in clips.source[:: max(1, len(clips.source) // SAMPLE)].split(512):
        pair = (states[frames].to(model.device) for frames in (source, source + 1))
        inferred.append(model.infer(*pair).movedim(1, 3).flatten(0, 2).cpu())
    found = torch.cat(inferred)
    length = found.square().sum(1)
    return found[length >= MOVING**2 * length.max()]


@torch.no_grad()
def settle_latent_actions(model: WorldModel, clips: Clips, states: Tensor) -> None:
    """Gives latent actions the principal axes of those that move, and scales each to [-1, 1]; 0 stays 0.

    The first numbers vary most. All parts that read or write latent actions change together, so predictions stay the
    same.

    Args:
        model: changed in place.
        clips, states: as in `moving_cells`.
    """
    found = moving_cells(model, clips, states).double()
    _, axes = torch.linalg.eigh(found.T @ found)
    axes = axes.flip(1)
    scale = (found @ axes).abs().amax(0).clamp(min=1e-3 * float(found.abs().max()))
    change_latent_actions(model, (axes / scale).T.float().to(model.device))


@torch.no_grad()
def fit_codebook(model: WorldModel, clips: Clips, states: Tensor, generator: Generator) -> dict[str, float]:
    """Sets the codes by k-means over the latent actions of cells that move; code 0 stays 0.

    Args:
        model: with a codebook, changed in place.
        clips, states: as in `moving_cells`.
        generator: of the choice of the first centres.

    Returns:
        `codes`, how many are set, and `distance`, the mean squared distance to the nearest as a share of the mean
        square.
    """
    book, found = model.part("codebook"), moving_cells(model, clips, states)
    count = min(len(book.codes) - 1, len(torch.unique(found, dim=0)))
    seed = int(torch.randint(2**31, (), generator=generator))
    means = MiniBatchKMeans(count, random_state=seed, n_init=3, batch_size=4096).fit(found.numpy())
    book.codes.zero_()
    book.codes[1 : count + 1] = torch.from_numpy(means.cluster_centers_).to(book.codes)
    used = torch.bincount(torch.from_numpy(means.labels_).long(), minlength=count) / len(found)
    book.usage.zero_()
    book.usage[1 : count + 1] = used.to(book.usage)
    distance = (found - torch.from_numpy(means.cluster_centers_)[means.labels_]).square().mean()
    return {"codes": float(count), "distance": float(distance / found.square().mean())}
