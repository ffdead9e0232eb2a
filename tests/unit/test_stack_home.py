"""The home folder: its ports, its lock, its version, and the credentials in it."""

import json
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball_local.embedded.credentials import REDIS_USERS, Credentials, ElementNameError
from flyball_local.embedded.home import Home, HomeBusyError, HomeError, Running
from flyball_local.embedded.natsconf import NatsConf, User, render
from flyball_proto.roles import ROLES, Role
from flyball_proto.subjects import is_element


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_ports_are_chosen_once_and_differ(home: Home) -> None:
    names = [f"part-{i}" for i in range(30)]
    chosen = {name: home.port(name) for name in names}
    assert len(set(chosen.values())) == len(names)
    assert {name: Home(home.folder).port(name) for name in names} == chosen


def test_a_second_stack_on_the_same_home_is_told_who_runs_there(home: Home) -> None:
    home.acquire()
    home.note(Running(4711, "nats://127.0.0.1:4222", {"nats": 4712}))
    with pytest.raises(HomeBusyError, match=r"4711.*nats://127\.0\.0\.1:4222.*--home"):
        Home(home.folder).acquire()
    assert Home(home.folder).running() == Running(4711, "nats://127.0.0.1:4222", {"nats": 4712})
    home.release()


def test_a_released_home_can_be_taken_again(home: Home) -> None:
    home.acquire()
    home.release()
    assert home.running() is None
    other = Home(home.folder)
    other.acquire()
    other.release()


def test_a_home_of_another_layout_is_refused_untouched(home: Home) -> None:
    (home.folder / "version").write_text("99\n")
    with pytest.raises(HomeError, match="'99'"):
        Home(home.folder).prepare()


def test_a_home_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="--home"):
        Home(tmp_path / "file").prepare()


def test_credentials_are_made_once_and_readable_by_their_owner_alone(home: Home) -> None:
    first = Credentials(home.credentials)
    first.prepare()
    first.add_element("ran", "cell-1")
    users, secrets = first.users(), (first.encryption_key, first.s3_keys, first.redis_acl())
    again = Credentials(home.credentials)
    again.prepare()
    again.add_element("ran", "cell-1")
    assert again.users() == users
    assert (again.encryption_key, again.s3_keys, again.redis_acl()) == secrets
    files = [path for path in home.credentials.rglob("*") if path.is_file()]
    assert len(files) == len(ROLES) + 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(home.credentials.stat().st_mode) == 0o700


def test_no_two_users_share_a_key(home: Home) -> None:
    credentials = Credentials(home.credentials)
    credentials.prepare()
    credentials.add_element("ran", "a")
    credentials.add_element("core", "a")
    keys = [user.public_key for user in credentials.users()]
    assert len(set(keys)) == len(keys) == len(ROLES) + 2


def test_passwords_do_not_stand_in_what_the_servers_read(home: Home) -> None:
    credentials = Credentials(home.credentials)
    for user in REDIS_USERS:
        assert credentials.redis_password(user) not in credentials.redis_acl()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30
)
@given(element=st.text("abzAZ019_-:@/=+,%~", min_size=1, max_size=20).filter(is_element))
def test_an_elements_name_survives_being_a_file_name(home: Home, element: str) -> None:
    credentials = Credentials(home.credentials)
    credentials.prepare()
    seed = credentials.add_element("ran", element)
    assert seed.parent == home.credentials / "elements" / "ran"
    assert f"element.ran.{element}" in {user.role.name for user in credentials.users()}


@pytest.mark.parametrize(
    ("source", "element"),
    [("ran", "a.b"), ("ran", "_mark"), ("ran", ""), ("ran", "a b"), ("ran", ">"), ("../x", "a")],
)
def test_a_name_that_no_subject_can_carry_gets_no_credentials(
    home: Home, source: str, element: str
) -> None:
    with pytest.raises(ElementNameError):
        Credentials(home.credentials).add_element(source, element)
    assert not (home.credentials / "elements").exists()


def test_the_server_listens_on_loopback_alone_and_encrypts_what_it_keeps() -> None:
    conf = NatsConf(encryption_key="k3y", http_port=8222, sync_interval="always")
    text = render(conf, port=4222, store=Path("/data"))
    assert "listen: 127.0.0.1:4222" in text
    assert "http: 127.0.0.1:8222" in text
    assert "cipher: chachapoly" in text
    assert 'key: "k3y"' in text
    assert 'sync_interval: "always"' in text
    assert "k3y" not in repr(conf)


def test_only_a_role_that_answers_commands_may_answer() -> None:
    roles = [Role("one", ("a",), ("b",)), Role("two", ("c",), ("d",), allow_responses=True)]
    text = render(NatsConf(users=tuple(User(r.name, r) for r in roles)), port=1, store=Path("/d"))
    one, two = (next(x for x in text.splitlines() if f"nkey: {r.name}" in x) for r in roles)
    assert "allow_responses" not in one
    assert "allow_responses" in two
    assert json.dumps(["a"]) in one


def test_the_model_signing_key_is_made_once_readable_by_its_owner_alone(home: Home) -> None:
    credentials = Credentials(home.credentials)
    credentials.prepare()
    made = credentials.model_signing_key.read_bytes()
    assert stat.S_IMODE(credentials.model_signing_key.stat().st_mode) == 0o600
    key = serialization.load_pem_private_key(made, None)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert credentials.model_signing_public_key.read_bytes() == public
    credentials.prepare()
    assert credentials.model_signing_key.read_bytes() == made
