from flyball_gateway.app import build
from flyball_kit.run import run

run("gateway", build)
