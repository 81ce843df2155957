"""How a session is looked at: at which resolution, which layer, with reality beside it or without."""

from __future__ import annotations

import numpy as np
import torch

from nova_gym.editing import layer
from nova_gym.envs.frames import observe
from nova_gym.envs.play.history import Moment
from nova_gym.envs.play.session import PlaySession
from nova_gym.envs.play.view import STRIP
from nova_gym.measures import TILE_TOLERANCE, tile_errors

#: Heights of the dream's picture in pixels that + and - go through.
RESOLUTIONS = (36, 72, 144, 288, 512, 768, 1024)
#: The first of them is at least so many times the height of reality's frames.
ENLARGED = 4


class Viewpoint:
    """What of a session's present is to be drawn.

    Args:
        session: the session to look at.

    Attributes:
        resolution: height of the dream's picture in pixels, one of `RESOLUTIONS`.
        layer: one of `nova_gym.editing.LAYERS`, shown alone; empty for the whole picture.
        beside: whether reality is shown beside the dream.
    """

    def __init__(self, session: PlaySession) -> None:
        self.session = session
        enough = [height for height in RESOLUTIONS if height >= ENLARGED * session.dream.frame_size[0]]
        self.resolution, self.layer, self.beside = max(288, [*enough, RESOLUTIONS[-1]][0]), "", False
        self._small: dict[int, np.ndarray] = {}

    @property
    def key(self) -> tuple[int, str, int]:
        """Key of the picture to show: number of the moment, layer and resolution."""
        return self.session.now.number, self.layer, self.resolution

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of the dream's picture in pixels; its height is `resolution`."""
        height, width = self.session.dream.frame_size
        return self.resolution, round(self.resolution * width / height)

    @property
    def state(self) -> torch.Tensor:
        """(1, K, rows, cols) float32, what is drawn: the state, or one of its layers."""
        model, now = self.session.dream.world_model, self.session.now
        if not self.layer:
            return now.state
        # layers of the step that led here: content + motion is the state shown
        before = self.session.history[-2].state if len(self.session.history) > 1 else now.state
        return layer(model, self.layer, before, now.latent_action)

    def refine(self, steps: int) -> None:
        """Goes so many resolutions up, or down if `steps` is negative, as far as there are."""
        at = RESOLUTIONS.index(self.resolution) + steps
        self.resolution = RESOLUTIONS[max(0, min(at, len(RESOLUTIONS) - 1))]

    def picture(self) -> np.ndarray:
        """(H, W, C) uint8, the dream's picture at `size`."""
        with torch.no_grad():
            return self.session.dream.world_model.render(self.state, self.size, as_bytes=True)[0].numpy()

    def strip(self) -> tuple[np.ndarray, ...]:
        """The last frames of the dream, each (H, W, C) uint8 at reality's frame size."""
        return tuple(self._picture_of(moment) for moment in self.session.history[-STRIP:])

    def real(self) -> np.ndarray | None:
        """Reality's frame (H, W, C) uint8, as large as fits beside the dream; None if it is not to be shown."""
        return self.session.real_picture(self.size[1]) if self.beside else None

    def wrong_tiles(self) -> np.ndarray | None:
        """(rows, columns) bool, the tiles that differ from reality, or where that is not shown those that are doubted.

        None if reality is shown and has no tiles, or is not shown and the dream cannot doubt.
        """
        real, tile = self.session.real_frame, self.session.tile
        if not self.beside or real is None:
            belief = self.session.now.belief
            return None if belief is None else (belief.doubt_map[0] > 0.5).numpy()
        if not tile:
            return None
        frames = (real, self._picture_of(self.session.now))
        truth, drawn = (frame[None].astype(np.float32) / 255.0 for frame in frames)
        return tile_errors(truth, drawn, tile)[0] >= TILE_TOLERANCE

    def header(self, rate: int, flags: list[str], wrong: np.ndarray | None) -> tuple[str, str, str]:
        """The lines above the picture.

        Args:
            rate: frames drawn in the last second.
            flags: what else is on, in the third line.
            wrong: as `wrong_tiles` returned it.
        """
        now, names = self.session.now, self.session.dream.card.action_names
        action = "–" if now.action is None else names[now.action] if names else str(now.action)
        first = f"step {now.step}   reward {now.reward:+.2f}   return {now.total:.2f}   end {now.end:.0%}"
        height, width = self.size
        second = f"action {action}   {width}×{height}   {rate} frames/s"
        beside = self.beside and self.session.real_frame is not None
        if beside and wrong is not None:
            second += f"   agreement {1.0 - wrong.mean():.0%} of tiles"
        if now.belief is not None:
            second += f"   doubt {float(now.belief.doubt[0]):.0%}"
        third = ["reality | dream"] * beside + [self.layer] * bool(self.layer) + flags
        return first, second, "   ".join(third + ["EPISODE ENDED"] * now.ended)

    def _picture_of(self, moment: Moment) -> np.ndarray:
        """(H, W, C) uint8 at reality's frame size; drawn once for each moment and kept."""
        if moment.number not in self._small:
            kept = {known.number for known in self.session.history[-2 * STRIP :]}
            self._small = {number: frame for number, frame in self._small.items() if number in kept}
            with torch.no_grad():
                self._small[moment.number] = observe(self.session.dream, moment.state, "pixels")[0]
        return self._small[moment.number]
