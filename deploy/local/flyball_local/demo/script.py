"""What happens in the demo, and when, in hours of the network's own life. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SPEC: Final = Path(__file__).parents[4] / "pipelines" / "ran.yaml"
PIPELINE: Final = "congestion"


@dataclass(frozen=True, slots=True)
class Script:
    """The network lives `hours`; a rehearsed day lasts one.

    The world changes at `change_hour`; foreign models are planted at `plant_hour`. From `person_hour`
    on a person answers two holds, one each way.
    """

    hours: float = 5.0
    change_hour: float = 3.6
    plant_hour: float = 3.3
    person_hour: float = 0.5
    sites: int = 6
    seed: int = 7


SHORT: Final = Script(0.5, 0.4, 0.3, 0.1)
"""For tests: every part of the story, but evidence for a succession cannot come so soon."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is played and where; without a home in a folder that is removed. `stay` goes on live."""

    script: Script = Script()
    home: Path | None = None
    spec: Path = SPEC
    say: Callable[[str], None] = print
    stay: bool = False
