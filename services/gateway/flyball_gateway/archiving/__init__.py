"""Keeps the record for longer than the streams do: AUDIT and VERDICTS, in S3."""

from functools import partial

from flyball_gateway.api.parts import Parts
from flyball_gateway.archiving.archive import ARCHIVED, Archive, withdraw
from flyball_kit.checkpoints import Checkpoints
from flyball_kit.health import Health
from flyball_kit.objects import Objects
from flyball_kit.tasks import Tasks
from flyball_proto import streams

__all__ = ["run"]


def run(parts: Parts, tasks: Tasks, health: Health) -> None:
    """Add the archive to the service, and the checkpoints of the service's own acts."""
    settings = parts.settings
    checkpoints = Checkpoints(parts.acts, settings.nats_seed_file)
    tasks.spawn("checkpoints", checkpoints.forever)
    if not settings.archives:
        tasks.spawn("archive.off", partial(withdraw, parts.client))
        return
    objects = Objects(settings)
    for stream in ARCHIVED:
        of_acts = stream is streams.AUDIT
        archive = Archive(
            stream,
            parts.client,
            objects,
            parts.acts,
            every_s=settings.archive_every_s,
            keep_days=settings.archive_control_days if of_acts else settings.archive_verdict_days,
        )
        name = f"archive.{stream.name.lower()}"
        tasks.spawn(name, archive.forever)
        health.add(name, archive.check, "note")
