"""What came of training a model again, for people."""

from flyball_local.showing.listing import short
from flyball_proto.commands import Reproduction


def reproduction_lines(found: Reproduction) -> list[str]:
    """Whether it holds, and where the difference is if there is one."""
    verdict = "holds" if found.holds else "does not hold"
    begin, took = f"{verdict}: {short(found.digest)}", f"({found.took_s:.1f} s)"
    if found.same and not found.rows:
        return [f"{begin} written again is the same, byte by byte"]
    if found.same:
        return [f"{begin} trained again is the same, byte by byte {took}"]
    apart = f"at most {found.difference:.2g} apart on {found.rows:,} rows {took}"
    lines = [f"{begin} trained again is {short(found.again)}; their scores are {apart}"]
    if found.platform != found.here:
        return [*lines, f"made on {found.platform}", f"here is {found.here}"]
    return [*lines, "the platform is the same, so the bytes should be, too"]
