"""The corpus, by subject."""

from . import chunks, codings, heads, hops, http2, lengths, targets

SUBJECTS = {
    name: list(module.cases())
    for name, module in {
        "lengths": lengths,
        "codings": codings,
        "chunks": chunks,
        "heads": heads,
        "targets": targets,
        "hops": hops,
        "http2": http2,
    }.items()
}
