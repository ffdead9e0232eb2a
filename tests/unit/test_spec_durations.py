import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball_proto.spec import format_duration, parse_duration_ms
from flyball_proto.spec.durations import MAX_DURATION_MS


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("500ms", 500),
        ("30s", 30_000),
        ("1.5s", 1_500),
        ("15min", 900_000),
        ("6h", 21_600_000),
        ("3d", 259_200_000),
        (" 1s ", 1_000),
        (0, 0),
        ("0s", 0),
    ],
)
def test_a_duration_is_read_with_its_unit(text, ms):
    assert parse_duration_ms(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        30,
        1.5,
        True,
        False,
        None,
        "30 s",
        "s",
        "-1s",
        "1m",
        "1e3s",
        "0.5ms",
        "1h30min",
        "9999999d",
        [],
        "",
    ],
)
def test_what_is_no_duration_is_refused_with_valid_ones(text):
    with pytest.raises(ValueError, match="30s, 15min"):
        parse_duration_ms(text)


@settings(deadline=None)
@given(st.integers(0, MAX_DURATION_MS))
def test_a_formatted_duration_reads_back_as_itself(ms):
    assert parse_duration_ms(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("ms", "text"), [(90_000, "90s"), (86_400_000, "1d"), (0, "0s"), (1, "1ms")]
)
def test_a_duration_is_written_in_the_largest_whole_unit(ms, text):
    assert format_duration(ms) == text


def test_a_text_without_a_unit_is_no_duration():
    with pytest.raises(ValueError, match="a number with a unit"):
        parse_duration_ms("30")
