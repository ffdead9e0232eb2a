"""Starts everything that learns how often acting is wrong; decides nothing."""

from collections.abc import Callable

from nats.aio.client import Client

from flyball_kit.announce import Announcer
from flyball_kit.connect import Connect
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.specifications import Specifications
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.calibrations import Calibration
from flyball_proto.spec import Pipeline, Source
from flyball_risk.calibrating.calibrations import Calibrations
from flyball_risk.calibrating.calibrators import Calibrators
from flyball_risk.settings import Settings


def calibrate(
    settings: Settings,
    *,
    connect: Connect,
    client: Callable[[], Client],
    announcer: Announcer,
    tasks: Tasks,
    health: Health,
    not_applied: Callable[[str, str], bool],
) -> Calibrations:
    """The calibrations in force, which judging asks for.

    `not_applied` says by pipeline and decision whether an element did not carry its action out.
    """
    records: Kv[Calibration] = Kv(client, streams.CALIBRATION, Calibration)
    calibrations = Calibrations(records)
    calibrators = Calibrators(
        settings,
        calibrations,
        connect=connect,
        client=client,
        announcer=announcer,
        tasks=tasks,
        not_applied=not_applied,
    )
    specifications = Specifications(applied=calibrators.apply, gone=calibrators.end, health=health)
    sources: Kv[Source] = Kv(client, streams.PIPELINES, Source)
    pipelines: Kv[Pipeline] = Kv(client, streams.PIPELINES, Pipeline)
    health.add("calibration", calibrations.check, "note")
    tasks.spawn("calibrations", calibrations.follow)
    tasks.spawn("sources", lambda: specifications.follow_sources(sources))
    tasks.spawn("specifications", lambda: specifications.follow_pipelines(pipelines))
    return calibrations
