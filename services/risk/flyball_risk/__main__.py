from flyball_kit.run import run
from flyball_risk.app import build

run("risk", build)
