"""Child processes of a local stack."""

import os
import sys
from pathlib import Path

from flyball_local.embedded.processes import kill_process, start_process


def test_a_part_has_its_own_group_and_the_session_of_all(tmp_path: Path) -> None:
    """A group, to be ended whole; one session, or Linux would not weigh priorities among parts."""
    wait = "import signal; signal.pause()"
    child = start_process([sys.executable, "-c", wait], log=tmp_path / "part.log")
    try:
        assert os.getpgid(child.pid) == child.pid
        assert os.getsid(child.pid) == os.getsid(0)
    finally:
        kill_process(child)
