from flyball_kit.run import run
from flyball_trainer.app import build

run("trainer", build)
