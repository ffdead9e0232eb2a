import pytest

from flyball_kit.health import Health, Weight


@pytest.mark.parametrize(
    ("weight", "live", "ready"),
    [("live", False, False), ("ready", True, False), ("note", True, True)],
)
def test_what_a_failing_check_does(weight: Weight, live: bool, ready: bool) -> None:
    health = Health()
    health.add("good", lambda: None, "live")
    health.add("bad", lambda: "out of luck", weight)
    report = health.report()
    assert (report.live, report.ready, report.reasons) == (live, ready, {"bad": "out of luck"})


def test_a_dropped_check_is_not_asked() -> None:
    health = Health()
    health.add("bad", lambda: "out of luck", "live")
    health.drop("bad")
    health.drop("never there")
    assert health.report().live
