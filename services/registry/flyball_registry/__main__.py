from flyball_kit.run import run
from flyball_registry.app import build

run("registry", build)
