import pytest
from pydantic import ValidationError

from flyball_inference.capabilities import BeyondRuntimeError, Capabilities, check_providers
from flyball_inference.settings import Settings
from flyball_kit.errors import PermanentError
from flyball_proto.deployments import Placed

SMALL = Placed(digest="d" * 64, trainer="recent", feature_digest="f", precision="int8")


def test_a_precision_that_is_not_allowed_here_is_refused_with_those_that_are() -> None:
    Capabilities().check_precision(SMALL)
    with pytest.raises(BeyondRuntimeError, match=r"int8 is wanted, .* run float32, float16"):
        Capabilities(precisions=("float32", "float16")).check_precision(SMALL)


def test_a_file_beyond_a_models_share_of_the_memory_is_refused_and_without_a_bound_none_is() -> (
    None
):
    Capabilities().check_size(SMALL, 1 << 40)
    bounded = Capabilities(memory_mb=3)
    bounded.check_size(SMALL, 1_000_000)
    with pytest.raises(BeyondRuntimeError, match="1000001 bytes, and a model may take 1000000"):
        bounded.check_size(SMALL, 1_000_001)


def test_an_execution_provider_that_this_build_lacks_is_named_with_those_it_has() -> None:
    check_providers(["CPUExecutionProvider"], ["CPUExecutionProvider"])
    with pytest.raises(PermanentError, match=r"names CUDAExecutionProvider; .* has CPU"):
        check_providers(["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"])


def test_lists_in_settings_keep_their_order_and_name_each_once() -> None:
    found = Settings(precisions="int8, float32,int8", providers="B, A,B")
    assert found.runnable == ("int8", "float32")
    assert found.execution_providers == ("B", "A")
    assert Settings().runnable == ("float32", "float16", "int8")


def test_an_unknown_precision_is_no_setting() -> None:
    with pytest.raises(ValidationError):
        Settings(precisions="float64")
