"""Which models answered in the pipelines whose decisions come in here. Pure."""

from collections.abc import Iterable, Mapping

from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Wire


class Upstream(Wire):
    """A pipeline as it was last seen."""

    epoch: int
    digest: str


def seen(
    known: Mapping[str, Upstream], names: Iterable[str], pointers: Mapping[str, ActiveModel]
) -> tuple[dict[str, Upstream], tuple[str, ...]]:
    """What is known of these pipelines now, and which have another active model than before.

    One that was never seen active changes nothing, and neither does the first sight of it. A change
    that is seen again is known already.
    """
    now, changed = dict[str, Upstream](), []
    for name in sorted(names):
        pointer, before = pointers.get(name), known.get(name)
        if pointer is not None:
            now[name] = Upstream(epoch=pointer.epoch, digest=pointer.digest)
            if before is not None and before.digest != pointer.digest:
                changed.append(name)
        elif before is not None:
            now[name] = before
    return now, tuple(changed)
