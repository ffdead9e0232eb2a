"""Who may connect to the embedded stack: NKeys for NATS, passwords for Redis, keys for S3.

Made once and kept in the home's `creds` folder. The server only ever sees public keys and hashes:

    <role>.nk                          seed of a role
    elements/<source>/<element>.nk     seed of an element, its name percent-encoded
    secrets.json                       Redis passwords, S3 keys, JetStream's encryption key
    model-signing.pem                  EC P-256 key of OpenSSF model signatures
    model-signing.pub.pem              its public half, for whoever wants to verify a model
"""

import hashlib
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote

import nkeys
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from flyball_kit.errors import PermanentError
from flyball_local.embedded.natsconf import User
from flyball_local.embedded.processes import write_private
from flyball_proto import subjects
from flyball_proto.roles import ROLES, Role, element_role

REDIS_USERS: Final = ("ingest", "risk", "gateway")
"""Services that keep something in Redis, each below its own key prefix `<service>:`."""


class ElementNameError(PermanentError):
    """A source or element name that no subject can carry."""


class Credentials:
    """The credentials in one folder; whatever is missing is made on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make what is missing: a seed for every role, and the secrets."""
        for role in ROLES:
            self._ensure(self.seed_file(role))
        self._secrets()
        if not self.model_signing_key.exists():
            self._make_model_signing_key()

    def seed_file(self, role: str) -> Path:
        """Where a role's seed lies; give it to the NATS client as `nkeys_seed`."""
        return self.folder / f"{role}.nk"

    def public_key(self, role: str) -> str:
        """A role's public NKey: by it others know what it signed."""
        return _public_key(self.seed_file(role))

    @property
    def model_signing_key(self) -> Path:
        """The private key by which the trainer signs models for everybody (OpenSSF)."""
        return self.folder / "model-signing.pem"

    @property
    def model_signing_public_key(self) -> Path:
        """Its public half."""
        return self.folder / "model-signing.pub.pem"

    def element_seed_file(self, source: str, element: str) -> Path:
        """Where an element's seed lies."""
        return self.folder / "elements" / source / f"{quote(element, safe='')}.nk"

    def add_element(self, source: str, element: str) -> Path:
        """Make an element's seed; the server learns of it at its next reload.

        Raises:
            ElementNameError: the source or the element cannot be named so.
        """
        if not subjects.is_name(source):
            raise ElementNameError(
                f"source {source!r}: lower-case letters, digits and dashes are valid, e.g. ran-1"
            )
        if not subjects.is_element(element):
            raise ElementNameError(
                f"element {element!r}: 1 to {subjects.MAX_ELEMENT_CHARS} of A-Z a-z 0-9 _-:@/=+,%~ "
                "are valid, the first not an underscore"
            )
        path = self.element_seed_file(source, element)
        self._ensure(path)
        return path

    def users(self) -> tuple[User, ...]:
        """Everybody whom the NATS server should know."""
        people = [User(_public_key(self.seed_file(name)), role) for name, role in ROLES.items()]
        elements = [User(_public_key(path), role) for path, role in self._elements()]
        return (*people, *elements)

    @property
    def encryption_key(self) -> str:
        """What JetStream's files are encrypted with; without it they cannot be read."""
        return self._secrets()["jetstream_key"]

    @property
    def s3_keys(self) -> tuple[str, str]:
        """Access key and secret key."""
        found = self._secrets()
        return found["s3_access_key"], found["s3_secret_key"]

    def redis_password(self, user: str) -> str:
        """The password of one of REDIS_USERS."""
        return self._secrets()[f"redis_{user}"]

    def redis_acl(self) -> str:
        """Lines of redis.conf: each user has its own key prefix, nobody else may enter.

        Commands that show or drop other users' keys are denied: a prefix does not bind them.
        """
        users = [
            f"user {user} on #{hashlib.sha256(self.redis_password(user).encode()).hexdigest()} "
            f"resetchannels ~{user}:* +@all -@admin -@dangerous -scan -randomkey -dbsize"
            for user in REDIS_USERS
        ]
        return "\n".join(["user default off", *users]) + "\n"

    def _elements(self) -> Iterator[tuple[Path, Role]]:
        for path in sorted(self.folder.glob("elements/*/*.nk")):
            yield path, element_role(path.parent.name, unquote(path.stem))

    def _ensure(self, path: Path) -> None:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # No line end: the client takes the whole file for the seed.
            write_private(path, _new_seed())

    def _make_model_signing_key(self) -> None:
        """The private half last: where it lies, both do."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(self.model_signing_public_key, public.decode())
        write_private(self.model_signing_key, private.decode())

    def _secrets(self) -> dict[str, str]:
        path = self.folder / "secrets.json"
        found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        wanted = ["jetstream_key", "s3_access_key", "s3_secret_key"]
        wanted += [f"redis_{user}" for user in REDIS_USERS]
        missing = {name: secrets.token_hex(20) for name in wanted if name not in found}
        if missing:
            found |= missing
            write_private(path, json.dumps(found, indent=2) + "\n")
        return found


def _public_key(seed_file: Path) -> str:
    pair = nkeys.from_seed(bytearray(seed_file.read_bytes()))
    public: str = pair.public_key.decode()
    pair.wipe()
    return public


def _new_seed() -> str:
    seed: bytes = nkeys.encode_seed(secrets.token_bytes(32), nkeys.PREFIX_BYTE_USER)
    return seed.decode()
