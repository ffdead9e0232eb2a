from flyball_inference.app import build
from flyball_kit.run import run

run("inference", build)
