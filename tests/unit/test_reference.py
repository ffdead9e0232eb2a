"""The generated references name everything that there is, in words."""

import re
from pathlib import Path

import pytest

from flyball_local import cli, generate
from flyball_local.reference import subjects as page
from flyball_local.reference.cli import arguments_of, cli_commands, exit_codes, options_of
from flyball_local.reference.commands import all_commands
from flyball_local.reference.events import event_classes, publishers
from flyball_local.reference.http import http_reference
from flyball_local.reference.markdown import anchor, table, type_in_words
from flyball_local.reference.permissions import covers, may_publish
from flyball_proto.events import ModelFlipped, ModelTrained
from flyball_proto.holds import Held
from flyball_proto.streams import BUCKETS, STREAMS

SERVICES = generate.ROOT / "services"


def test_every_function_that_names_a_subject_is_described() -> None:
    assert page.undescribed() == []


def test_every_stream_bucket_command_and_event_has_its_line() -> None:
    text = page.subjects_reference()
    for name in (*(s.name for s in STREAMS), *(b.name for b in BUCKETS)):
        assert f"\n| `{name}` | " in text
    for command in all_commands():
        assert f"### `{command.subject}`" in text
    assert len(event_classes()) >= 28


def test_a_command_is_answered_with_the_reply_that_follows_it() -> None:
    replies = {command.subject: command.reply.__name__ for command in all_commands()}
    assert replies["cmd.gateway.apply"] == "ApplyReply"
    assert replies["cmd.risk.stop"] == replies["cmd.risk.resume"] == "StopReply"
    assert replies["cmd.ingest.quarantine"] == "QuarantinedReply"


def test_every_command_of_the_contracts_names_its_subject() -> None:
    modules = Path(generate.ROOT, "proto/flyball_proto").glob("*.py")
    source = "".join(module.read_text() for module in modules)
    assert {c.subject for c in all_commands()} == set(re.findall(r"`(cmd\.[a-z.-]+)`:", source))


@pytest.mark.parametrize(
    ("pattern", "subject", "allowed"),
    [
        ("verdicts.>", "verdicts.<pipeline>.<partition>", True),
        ("metrics.*.*", "metrics.<source>.<element>", True),
        ("metrics.*.*", "metrics.<source>.<partition>.<element>", False),
        ("metrics.*.*._mark", "metrics.<source>.<partition>._mark", True),
        ("actions.>", "actions", False),
        ("model.*.trained", "model.<pipeline>.refused", False),
        ("audit.risk", "audit.<service>", False),
    ],
)
def test_a_pattern_covers_what_nats_would_let_through(
    pattern: str, subject: str, allowed: bool
) -> None:
    assert covers(pattern, subject) is allowed


def test_only_risk_is_shown_to_publish_verdicts_and_actions() -> None:
    assert may_publish("verdicts.<pipeline>.<partition>") == ["risk"]
    assert may_publish("actions.<pipeline>.<element>") == ["risk"]


def test_publishers_are_who_may_and_do() -> None:
    assert publishers(ModelTrained, SERVICES) == ["trainer"]
    assert publishers(ModelFlipped, SERVICES) == ["inference"]
    assert publishers(Held, SERVICES) == ["risk"]


def test_types_are_said_in_words() -> None:
    links = {"Guard": "#guard"}
    assert type_in_words({"type": "integer", "minimum": 1}, links) == "whole number, ≥ 1"
    assert type_in_words({"enum": ["a", "b"]}, links) == "`a` or `b`"
    assert (
        type_in_words({"type": "array", "items": {"$ref": "#/$defs/Guard"}}, links)
        == "list of [Guard](#guard)"
    )


def test_a_bar_in_a_cell_stays_inside_it() -> None:
    assert table(("a",), [("x|y",)])[2] == "| x\\|y |"


def test_a_link_to_a_heading_is_made_as_readers_of_markdown_make_it() -> None:
    assert anchor("model.<pipeline>.training-failed") == "#modelpipelinetraining-failed"


def test_the_command_line_knows_groups_options_and_arguments() -> None:
    known = cli_commands(cli.app)
    assert "--target" in options_of(known["flyball new spec"])
    assert {"-f", "--file", "--help"} <= options_of(known["flyball apply"])
    assert arguments_of(known["flyball publish"]) == ["source", "element", "values"]


def test_a_route_says_what_it_does_and_who_may() -> None:
    document = {
        "paths": {
            "/v1/holds/{hold}/deny": {
                "post": {
                    "description": "Say no.",
                    "x-flyball-roles": ["approver"],
                    "responses": {"200": {}, "4XX": {}},
                }
            },
            "/v1/me": {"get": {"x-flyball-roles": ["viewer", "approver"], "responses": {}}},
        },
        "components": {"schemas": {}},
        "x-flyball-rights": {"viewer": ["read"], "approver": ["read", "answer"]},
    }
    text = http_reference(document)
    assert "(#post-v1holdsholddeny) | Say no. | approver |" in text
    assert "(#get-v1me) |  | every role |" in text
    assert "| `approver` | read, answer |" in text


def test_exit_codes_are_read_from_their_sentence() -> None:
    assert exit_codes("x\n\nExit codes: 0 done, 1 a problem, found,\n2 bad input.\nMore.") == [
        ("`0`", "done"),
        ("`1`", "a problem, found"),
        ("`2`", "bad input"),
    ]
