"""This machine, read live, fits its ready specification."""

from flyball_local import specfile
from flyball_local.demo import SPEC
from flyball_local.host import MAX_PROCESSES, Host
from flyball_proto.subjects import is_element


def test_readings_are_what_the_ready_specification_declares() -> None:
    source = specfile.load(SPEC.with_name("host.yaml")).sources["host"]
    host = Host()
    host.read(1.0)
    readings = host.read(1.0)
    processes = [r for r in readings if r.kind == "process"]
    assert 1 <= len(processes) <= MAX_PROCESSES
    assert any(r.kind == "interface" for r in readings)
    for reading in readings:
        assert is_element(reading.element)
        assert set(reading.values) == {m.name for m in source.spec.metrics}
        for metric in source.spec.metrics:
            value = reading.values[metric.name]
            assert metric.range is not None
            assert value is None or metric.range[0] <= value <= metric.range[1]


def test_a_process_reports_no_traffic_and_an_interface_no_memory() -> None:
    host = Host()
    host.read(1.0)
    for reading in host.read(1.0):
        unmeasured = "rx_bytes_s" if reading.kind == "process" else "rss_bytes"
        assert reading.values[unmeasured] is None
