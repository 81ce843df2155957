"""Plans of recordings: which kinds of clips, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nova_gym.errors import BadInputError

#: Steps after which an episode is cut that may never end: where one before it did not, or nothing is known of any.
ENDLESS = 1000


@dataclass(frozen=True)
class Coverage:
    """One kind of clip in a recording.

    Attributes:
        name: what the clips show; recordings report their shares under it.
        share: share of all recorded transitions, above 0.
        length: transitions in a clip at most; None for whole episodes. A clip also ends where its episode does.
        official: True if a clip starts as the environment resets itself, False if `Reality.scatter` follows the reset.
        facing: a transition class; `Reality.arrange` then puts the agent where its actions make such a transition. A
            clip begins with all of them but the last. None leaves the agent where it is.
        expert: probability in each step of the action that `Reality.policy` chooses.
        favoured: an action, and the probability in each step to take it. With the probability that remains,
            `Reality.random_action` chooses.
        held: an action that `Reality.random_action` has chosen is repeated. How long is drawn for each clip, up to
            about so many steps on average, and then each time.
        onward: whether a clip begins where an earlier one from such a start came to (`Branches`).
        charted: whether actions go to where the least is known, in so many of the clips as frames come back (`Chart`).
            In the others `Reality.random_action` chooses.
        led: whether a policy leads to where a clip begins, up to so many steps before each, without being recorded. A
            clip then goes on in the same episode as the one before, until that ends.
    """

    name: str
    share: float
    length: int | None
    official: bool = False
    facing: str | None = None
    expert: float = 0.0
    favoured: tuple[Any, float] = (None, 0.0)
    held: int = 1
    onward: bool = False
    charted: bool = False
    led: int = 0

    def __post_init__(self) -> None:
        chances = self.expert, self.favoured[1], self.expert + self.favoured[1]
        counts = 1 if self.length is None else self.length, self.held
        if not self.share > 0 or min(counts) < 1 or not all(0 <= chance <= 1 for chance in chances):
            raise BadInputError(
                "a clip needs a share above 0, a length and a hold of 1 or more, and probabilities of 1 or less "
                f"together: {self}"
            )

    @property
    def starts(self) -> str:
        """The starts that the first frames are a fair sample of: `official`, `random`, or an empty string."""
        return "" if self.facing or self.onward or self.led else "official" if self.official else "random"


#: For environments without a `Reality` of their own: whole episodes of random actions, and random actions from where
#: such play came (`Branches`). In half of the transitions actions are held: in many environments one leads nowhere
#: unless it lasts for some steps. In the other half what was seldom tried is tried, where frames come back (`Chart`).
RANDOM_COVERAGE = (
    Coverage("official starts, at random or seldom tried", 0.25, None, official=True, charted=True),
    Coverage("official starts, actions held", 0.25, None, official=True, held=32),
    Coverage("onward, at random or seldom tried", 0.25, 32, official=True, onward=True, charted=True),
    Coverage("onward, actions held", 0.25, 32, held=32, official=True, onward=True),
)


def policy_coverage(random: float) -> tuple[Coverage, ...]:
    """Whole episodes of a given policy.

    Args:
        random: probability in each step of a random action instead.
    """
    return (Coverage("official starts, by the policy", 1.0, None, official=True, expert=1.0 - random),)


#: Random actions where a policy has led. A policy that knows more than the frames show tells that by its actions. From
#: them a dream with memory would learn to read it: small pushes to and fro as a sign that a pole stands.
LED_COVERAGE = (Coverage("led by the policy, then at random", 1.0, 16, official=True, led=32),)
