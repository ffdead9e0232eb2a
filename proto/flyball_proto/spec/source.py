"""`kind: Source`: what the network sends, and what of it is believed."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator

from flyball_proto import subjects
from flyball_proto.spec.base import Document, Flag, Number, SpecModel, repeated, shorthand, wrong
from flyball_proto.spec.durations import DurationMs, PositiveMs
from flyball_proto.spec.names import LabelName, MetricName
from flyball_proto.streams import MAX_FIELDS_PER_SAMPLE

MAX_LABELS = 8
MAX_ACCEPTS = 32
MISSING = ("", "NA", "NaN", "nan", "null", "None")
Text = Annotated[str, StringConstraints(min_length=1, max_length=256)]


def _subject_pattern(text: str) -> str:
    tokens = text.split(".")
    whole = all(t in ("*", ">") or not set(t) & set("*> \t") for t in tokens)
    if not all(tokens) or not whole or ">" in tokens[:-1]:
        raise wrong("a NATS subject; `*` stands for one token, `>` for the rest, e.g. telegraf.>")
    return text


def _element_name(text: str) -> str:
    if not subjects.is_element(text):
        raise wrong("1 to 128 of A-Z a-z 0-9 _ - : @ / = + , % ~, not starting with `_`")
    return text


def _as_written(word: object) -> object:
    """YAML reads an unquoted null as nothing."""
    return "null" if word is None else word


class Metric(SpecModel):
    """One number that elements report."""

    name: MetricName = Field(description="As it stands in the reports, e.g. RRU.PrbTotDl.")
    unit: Text = Field(default="1", description="UCUM-like text, e.g. %, kbit/s; 1 = no unit.")
    range: tuple[Number, Number] | None = Field(
        default=None, description="Lowest and highest possible value; none = any finite number."
    )
    on_invalid: Annotated[Literal["reject", "clip", "null"], BeforeValidator(_as_written)] = Field(
        default="reject",
        description="A value out of range: refuse its row, move it to the bound, or drop the value.",
    )
    required: Flag = Field(default=False, description="Refuse rows that do not name this metric.")
    privacy: Literal["none", "hash", "drop"] = Field(
        default="none",
        description="hash and drop keep the value out of everything behind METRICS.",
    )

    @model_validator(mode="after")
    def _range_is_usable(self) -> Self:
        if self.range is not None and not self.range[0] < self.range[1]:
            raise wrong(
                "range: [lowest, highest] with lowest < highest", found=str(list(self.range))
            )
        if self.on_invalid != "reject" and self.range is None:
            raise wrong(
                "on_invalid beside a range",
                found=f"on_invalid: {self.on_invalid} without a range",
                next_step="add `range: [lowest, highest]`",
            )
        return self


class Accept(SpecModel):
    """A foreign format that feeds this source. Kept and checked; no adapter reads it yet."""

    subject: Annotated[Text, AfterValidator(_subject_pattern)] = Field(
        description="Where the producer publishes; `*` and `>` as in NATS."
    )
    format: Literal[
        "influx",
        "telegraf_json",
        "gnmic_event",
        "gnmic_json",
        "ves",
        "pm_xml",
        "kpm_bridge",
        "srsran",
        "otlp_json",
        "sparkplug_b",
        "collectd",
        "neuron",
        "senml",
        "fluentbit",
    ] = Field(description="How the payload is written.")
    element: Text = Field(
        description="Where the element's name stands, e.g. tags.cell or subject.2."
    )
    metrics: dict[str, MetricName] = Field(
        default_factory=dict,
        description="Producer's name to metric; names that are not here stay as they are.",
    )


class Truth(SpecModel):
    """The column of a CSV file that holds confirmed truth, for `feedback` targets."""

    column: Text = Field(description="Header of the column. It is never a feature.")
    codes: dict[str, Number] = Field(
        default_factory=dict,
        description="Text in the file to the number that is published; empty = it holds numbers. "
        "multiclass: the place of the class in the target's classes, from 0.",
    )


TIME_FORMATS = ("iso", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "row")
_DATE = re.compile(r"(?=.*%[yY])(?=.*%[mbB])(?=.*%d)")


def _time_format(text: str) -> str:
    if text not in TIME_FORMATS and not _DATE.match(text):
        raise wrong(
            f"one of {', '.join(TIME_FORMATS)}, or a pattern with year, month and day, e.g. "
            "%d/%m/%Y %H:%M"
        )
    return text


class CsvMapping(SpecModel):
    """How `replay` reads a CSV file as reports of this source.

    A metric or label without an entry is read from the column of its own name.
    """

    time: Text = Field(default="timestamp", description="Column of the event time.")
    time_format: Annotated[str, AfterValidator(_time_format)] = Field(
        default="iso",
        description="How it is written: iso, epoch_s, epoch_ms, epoch_us, epoch_ns, or a pattern "
        "with %, e.g. %d/%m/%Y %H:%M. Times without a zone are UTC. row: the file has no times, "
        "one row a second from 2000-01-01.",
    )
    element: Text = Field(default="element", description="Column of the element's name.")
    one_element: Annotated[str, AfterValidator(_element_name)] | None = Field(
        default=None, description="All rows are of this element; `element` is then not read."
    )
    columns: dict[MetricName, Text] = Field(
        default_factory=dict, description="Metric to column, where they differ."
    )
    labels: dict[LabelName, Text] = Field(
        default_factory=dict, description="Label to column, where they differ."
    )
    separator: Literal[",", ";", "\t", "|"] = Field(default=",", description="Between two cells.")
    decimal: Literal[".", ","] = Field(default=".", description="Before the digits of a fraction.")
    encoding: Literal["utf-8", "utf-16", "cp1252"] = Field(
        default="utf-8", description="How the file's characters are written."
    )
    header: Flag = Field(
        default=True,
        description="The first row names the columns; without one they are column_1, column_2, ...",
    )
    order: Literal["file", "time"] = Field(
        default="file",
        description="In which order rows are played: as they stand, or sorted by time (at most "
        "500 000 rows).",
    )
    missing: tuple[str, ...] = Field(
        default=MISSING,
        max_length=32,
        description="Cells that say that a value could not be measured.",
    )
    codes: dict[MetricName, dict[str, Number]] = Field(
        default_factory=dict,
        description="Metric to the numbers that stand for the texts of its column; any other text "
        "is a missing value.",
    )
    truth: Truth | None = Field(default=None, description="Confirmed truth, if the file has it.")

    def column(self, metric: str) -> str:
        """The column that holds `metric`."""
        return self.columns.get(metric, metric)

    def label_column(self, label: str) -> str:
        """The column that holds `label`."""
        return self.labels.get(label, label)


class SourceSpec(SpecModel):
    """What elements of this source send."""

    element: Text = Field(default="element", description="What an element is, e.g. cell.")
    interval_ms: PositiveMs = Field(
        default=1_000, alias="interval", description="Usual time between rows of one element."
    )
    max_lateness_ms: DurationMs = Field(
        default=10_000,
        alias="max_lateness",
        description="How much older than its element's newest row a row may be and still be used.",
    )
    max_future_ms: DurationMs = Field(
        default=60_000,
        alias="max_future",
        description="How far a row's time may be ahead of its arrival; beyond it the row is refused. "
        "History is never ahead.",
    )
    emit: Literal["arrival", "watermark"] = Field(
        default="arrival",
        description="arrival: decide with what is there; watermark: wait max_lateness.",
    )
    season_ms: DurationMs = Field(
        default=86_400_000,
        alias="season",
        description="The time after which the source repeats itself. A succession comes only when whole seasons were "
        "compared, at least one; 0 = none.",
    )
    metrics: tuple[Annotated[Metric, shorthand("name")], ...] = Field(
        min_length=1,
        max_length=MAX_FIELDS_PER_SAMPLE,
        description="What elements report; a bare name takes all defaults.",
    )
    labels: tuple[LabelName, ...] = Field(
        default=(),
        max_length=MAX_LABELS,
        description="What is known of an element, e.g. site: slices and blast radius.",
    )
    accepts: tuple[Accept, ...] = Field(
        default=(), max_length=MAX_ACCEPTS, description="Foreign formats that feed this source."
    )
    csv: CsvMapping = Field(
        default=CsvMapping(), description="How replay reads a CSV file as this source."
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("metrics", [m.name for m in self.metrics]),
            ("labels", list(self.labels)),
        ):
            if twice := repeated(names):
                raise wrong(
                    f"{what} with different names",
                    found=f"{twice!r} twice in {what}",
                    next_step="remove one of them",
                )
        return self


class Source(Document):
    """A source: `source.spec.metrics`, `source.spec.interval_ms`, `source.name`, ..."""

    kind: Literal["Source"] = Field(description="Always Source.")
    spec: SourceSpec = Field(description="What elements of this source send.")

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, or None."""
        return next((m for m in self.spec.metrics if m.name == name), None)

    @property
    def visible_metrics(self) -> tuple[str, ...]:
        """Metrics without privacy: all that a feature or a target may use, in declared order."""
        return tuple(m.name for m in self.spec.metrics if m.privacy == "none")
