"""Whether the statistics by which novel rows are told can be used. Pure."""

import hashlib

from flyball_proto.events import Manifest
from flyball_proto.novelty import NoveltyError, decode_novelty
from flyball_registry.admission.claims import MAX_WORDS, Unfit


def unfit(written: bytes | None, manifest: Manifest) -> Unfit | None:
    """What is wrong with a bundle's `novelty.bin`; None = nothing, or its manifest names none."""
    if not manifest.novelty_digest:
        return None
    if written is None:
        return Unfit("novelty", "none within the bounds", "novelty.bin, as the manifest says")
    if (digest := hashlib.sha256(written).hexdigest()) != manifest.novelty_digest:
        return Unfit("novelty", digest, manifest.novelty_digest)
    try:
        decode_novelty(written, len(manifest.features))
    except NoveltyError as error:
        limit = f"statistics of {len(manifest.features)} features, as a training writes them"
        return Unfit("novelty", str(error)[:MAX_WORDS], limit)
    return None
