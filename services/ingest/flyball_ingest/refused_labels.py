"""Which labels a fold of samples sends to quarantine. Pure."""

from collections.abc import Callable, Sequence

from flyball_kit.errors import PermanentError
from flyball_kit.fold import Dispatch, Input
from flyball_proto.columns import BatchError, decode_samples
from flyball_proto.headers import ORIGINAL_SEQUENCE, REASONS


class DamagedSamplesError(PermanentError):
    """A committed batch of samples does not decode."""

    kind = "damaged-batch"


def routing(subject: str) -> Callable[[Input], Sequence[Dispatch]]:
    """One dispatch a refused label message of a committed `SampleBatch`; payloads are yet to be read."""

    def route(message: Input) -> Sequence[Dispatch]:
        try:
            skipped = decode_samples(message.data).flow.skipped
        except BatchError as error:
            raise DamagedSamplesError(
                f"{message.subject} {message.sequence}: {error}; was it written by another version?"
            ) from error
        return [
            Dispatch(
                subject,
                (int(sequence), 0),
                b"",
                {REASONS: detail, ORIGINAL_SEQUENCE: str(sequence)},
            )
            for sequence, detail in zip(skipped.sequence, skipped.detail, strict=True)
        ]

    return route
