from flyball_deployer.app import build
from flyball_kit.run import run

run("deployer", build)
