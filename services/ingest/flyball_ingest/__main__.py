from flyball_ingest.app import build
from flyball_kit.run import run

run("ingest", build)
