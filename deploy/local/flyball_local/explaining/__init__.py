"""Why was this done? The whole story of one decision, from the record.

`story` is what was found and how it reads (pure); `finding` reads a running stack, `archived` an
export or a copy of the archive.
"""
