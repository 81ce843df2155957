"""PhyWorld: balls that obey the laws of mechanics (arXiv 2411.02385), made by pymunk or read from the public files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nova_gym.data.clips import Clips, unlabelled_clips
from nova_gym.data.room import IN_MEMORY, room_for
from nova_gym.errors import BadInputError, needs_package
from nova_gym.tensor_file import first_line

#: What happens in a scene: a ball moves straight on, two balls meet, or a ball is thrown and falls.
KINDS = ("uniform motion", "collision", "parabola")
#: Pixels a side, frames of a clip, and seconds between two frames.
SIZE, LENGTH, SECONDS = 128, 32, 0.1
#: Side of the scene, to which radii, places and speeds are given, and how fast a falling ball becomes faster.
WORLD, GRAVITY = 10.0, 2.5
#: Ranges of radii and speeds: those of training, and those that are held out, below and above.
RADII, SPEEDS = (0.7, 1.4), (1.0, 4.0)
OUTSIDE_RADII, OUTSIDE_SPEEDS = ((0.3, 0.6), (1.5, 2.0)), ((0.0, 0.8), (4.5, 6.0))
#: The colours of the first and of the second ball, on white.
COLOURS = ((255, 0, 0), (0, 0, 255))
#: Suffixes of the public files, the key of their videos, and how many clips of a file are read at most.
FILES, VIDEOS, CLIPS = (".hdf5", ".h5"), "video_streams", 4_000

_STEPS = 10
_EDGE = 0.5
_MEETING = (0.4, 2.4)


class Scenes(NamedTuple):
    """Scenes, and what they show. Where there is no second ball its numbers are NaN.

    Attributes:
        frames: (clips, length, size, size, 3) uint8.
        kinds: (clips,) int64, places in `KINDS`.
        radii: (clips, 2) float64.
        places: (clips, length, 2, 2) float64, x to the right and y upwards of each ball's centre, in [0, 10] where it
            is in view.
    """

    frames: np.ndarray
    kinds: np.ndarray
    radii: np.ndarray
    places: np.ndarray


def scenes(
    clips: int, seed: int, test: bool = False, outside: bool = False, length: int = LENGTH, size: int = SIZE
) -> Scenes:
    """Makes scenes of all three kinds in turns. A ball that leaves the frame goes on outside of it.

    Args:
        clips: how many.
        seed: of radii, speeds and places.
        test: whether to make clips for tests; none of them is a training clip.
        outside: whether radii and speeds are those that are held out, all of a clip at once.
        length: frames in a clip.
        size: pixels a side of a frame.

    Raises:
        BadInputError: a number is out of range, or pymunk is not installed.
    """
    needs_package("pymunk", "scenes of PhyWorld", "physics")
    if clips < 1 or length < 2 or size < 8:
        raise BadInputError(f"scenes are at least 1 clip of 2 frames of 8×8, not {clips} of {length} of {size}×{size}")
    rng = np.random.default_rng([seed, int(test), int(outside)])
    kinds = np.arange(clips) % len(KINDS)
    made = [_scene(KINDS[kind], rng, outside) for kind in kinds]
    radii = np.array([radii for radii, _, _ in made])
    places = np.stack([_simulate(KINDS[kind], *scene, length) for kind, scene in zip(kinds, made, strict=True)])
    frames = np.stack([_draw(*scene, size) for scene in zip(places, radii, strict=True)])
    return Scenes(frames, kinds, radii, places)


def scene_clips(clips: int, seed: int) -> Clips:
    """Scenes for training, as a recording without labels. Errors as in `scenes`."""
    frames = torch.from_numpy(scenes(clips, seed).frames).permute(0, 1, 4, 2, 3).contiguous()
    lengths = torch.full((len(frames),), frames.shape[1] - 1)
    metadata = {"kind": "scenes by PhyWorld's rules, made by pymunk", "seed": seed, "clips": clips}
    return unlabelled_clips(frames.flatten(0, 1), lengths, metadata)


def load_phyworld(
    files: list[Path], progress: Callable[[int, int], None] = lambda done, total: None, size: int = SIZE
) -> Clips:
    """Reads the public files, such as `collision_30K.hdf5`.

    A file is HDF5. Below its key `video_streams` lie the bytes of one MP4 video a clip, in one array or in a group of
    arrays. Its other keys are not read. Of a file with more than `CLIPS` clips so many are read, evenly spread.

    Args:
        files: their paths.
        progress: called with the number of clips read and their total.
        size: pixels a side that frames are scaled to.

    Raises:
        BadInputError: a file is not of this kind, or its clips differ in length.
    """
    import h5py

    opened, found = [], []
    try:
        for file in files:
            try:
                opened.append(h5py.File(file, "r"))
                streams = _streams(opened[-1])
            except BadInputError as error:
                raise BadInputError(f"{file.name}: {error}") from error
            except Exception as error:  # HDF5 has errors of many kinds
                raise BadInputError(f"cannot read {file} as PhyWorld: {first_line(error)}") from error
            found += [(file, *streams[at]) for at in range(0, len(streams), -(-len(streams) // CLIPS))]
        return _decoded(found, size, files[0].parent, progress)
    finally:
        for file in opened:
            file.close()


def _streams(file: Any) -> list[tuple[Any, int]]:
    """Where each video of a file lies: an array and a place in it."""
    if VIDEOS not in file:
        keys = ", ".join(file) or "nothing"
        raise BadInputError(f"it holds {keys}; a file of PhyWorld holds {VIDEOS}, the bytes of one MP4 a clip")
    found = file[VIDEOS]
    arrays = [found[name] for name in sorted(found)] if hasattr(found, "keys") else [found]
    streams = [(array, at) for array in arrays for at in range(len(array))]
    if not streams:
        raise BadInputError(f"{VIDEOS} holds no clip")
    return streams


def _decoded(
    found: list[tuple[Path, Any, int]], size: int, folder: Path, progress: Callable[[int, int], None]
) -> Clips:
    import imageio.v3 as iio

    frames = None
    for number, (file, array, at) in enumerate(found):
        try:
            stream = np.asarray(array[at], dtype=np.uint8).tobytes()
            clip = torch.from_numpy(iio.imread(stream, extension=".mp4")[..., :3]).permute(0, 3, 1, 2).float()
        except Exception as error:  # imageio and HDF5 have errors of many kinds
            raise BadInputError(f"{file.name}: clip {at} is no MP4 video: {first_line(error)}") from error
        shape = (len(clip), 3, size, size)
        if frames is None:
            if len(clip) < 2:
                raise BadInputError(f"{file.name}: clip {at} holds {len(clip)} frame; a clip has at least 2")
            length = len(clip)
            frames = room_for((len(found) * length, *shape[1:]), IN_MEMORY, folder)
        if len(clip) != length:
            raise BadInputError(f"{file.name}: clip {at} has {len(clip)} frames, the first clip {length}")
        frames[number * length : (number + 1) * length] = _scaled(clip, size)
        progress(number + 1, len(found))
    lengths = torch.full((len(found),), length - 1)
    return unlabelled_clips(frames, lengths, {"kind": "PhyWorld, from public files", "clips": len(found)})


def _scaled(clip: Tensor, size: int) -> Tensor:
    """(T, 3, H, W) → (T, 3, size, size) uint8."""
    return F.interpolate(clip, (size, size), mode="area").round().clamp(0, 255).byte()


def _scene(kind: str, rng: np.random.Generator, outside: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A scene's radii (2,), first places (2, 2) and first velocities (2, 2), NaN for a ball that is not there."""

    def draw(inside: tuple[float, float], held_out: tuple[tuple[float, float], ...]) -> np.ndarray:
        ranges = held_out if outside else (inside,)
        return np.array([rng.uniform(*ranges[rng.integers(len(ranges))]) for _ in range(2)])

    while True:
        radii, speeds = draw(RADII, OUTSIDE_RADII), draw(SPEEDS, OUTSIDE_SPEEDS)
        places, velocities = np.full((2, 2), np.nan), np.full((2, 2), np.nan)
        most = radii.max() if kind == "collision" else radii[0]
        height = rng.uniform(most + _EDGE, WORLD - _EDGE - most)
        if kind != "collision":
            radii[1] = np.nan
            if kind == "parabola":  # thrown from high up
                height = rng.uniform(WORLD - _EDGE - most - 1.0, WORLD - _EDGE - most)
            seen = speeds[0] * 0.75 * LENGTH * SECONDS  # so far it should get before it begins to leave the frame
            places[0] = rng.uniform(radii[0], max(WORLD - radii[0] - seen, radii[0] + _EDGE)), height
            velocities[0] = speeds[0], 0.0
            return radii, places, velocities
        room = WORLD - 2.0 * radii.sum()
        latest = min(_MEETING[1], room / max(speeds.sum(), 1e-6))
        if latest >= _MEETING[0]:  # both are in view until they meet
            apart = radii.sum() + speeds.sum() * rng.uniform(_MEETING[0], latest)
            left = rng.uniform(radii[0], WORLD - radii[1] - apart)
            places[:] = (left, height), (left + apart, height)
            velocities[:] = (speeds[0], 0.0), (-speeds[1], 0.0)
            return radii, places, velocities


def _simulate(kind: str, radii: np.ndarray, places: np.ndarray, velocities: np.ndarray, length: int) -> np.ndarray:
    """(length, 2, 2) places of the balls."""
    import pymunk

    space = pymunk.Space()
    space.gravity = 0.0, (-GRAVITY if kind == "parabola" else 0.0)
    space.collision_slop = 1e-3  # pymunk's own is meant for worlds of a hundred times the size
    balls = []
    for radius, place, velocity in zip(radii, places, velocities, strict=True):
        if np.isnan(radius):
            continue
        mass = float(np.pi * radius**2)
        body = pymunk.Body(mass, pymunk.moment_for_circle(mass, 0.0, float(radius)))
        body.position, body.velocity = tuple(map(float, place)), tuple(map(float, velocity))
        shape = pymunk.Circle(body, float(radius))
        shape.elasticity, shape.friction = 1.0, 0.0
        space.add(body, shape)
        balls.append(body)
    path = np.full((length, 2, 2), np.nan)
    for time in range(length):
        path[time, : len(balls)] = [tuple(ball.position) for ball in balls]
        for _ in range(_STEPS):
            space.step(SECONDS / _STEPS)
    return path


def _draw(places: np.ndarray, radii: np.ndarray, size: int) -> np.ndarray:
    """(length, size, size, 3) uint8: balls with soft edges, a pixel wide, on white."""
    frames = np.full((len(places), size, size, 3), 255.0, dtype=np.float32)
    centres = ((np.arange(size) + 0.5) / size * WORLD).astype(np.float32)
    pixel = WORLD / size
    for ball, colour in enumerate(COLOURS):
        if np.isnan(radii[ball]):
            continue
        x, y = places[:, ball].T.astype(np.float32)
        reach = radii[ball] + pixel
        shown = np.flatnonzero((np.minimum(x, y) > -reach) & (np.maximum(x, y) < WORLD + reach))
        across = (centres - x[shown, None]) ** 2
        upwards = (centres[::-1] - y[shown, None]) ** 2
        distance = np.sqrt(upwards[:, :, None] + across[:, None])
        ink = ((radii[ball] - distance) / pixel + 0.5).clip(0.0, 1.0)[..., None].astype(np.float32)
        frames[shown] += ink * (np.array(colour, dtype=np.float32) - frames[shown])
    return frames.round().astype(np.uint8)
