"""The corpus for HTTP/1.1, by subject."""

from . import chunks, codings, heads, hops, lengths, targets

SUBJECTS = {
    name: list(module.cases())
    for name, module in {
        "lengths": lengths,
        "codings": codings,
        "chunks": chunks,
        "heads": heads,
        "targets": targets,
        "hops": hops,
    }.items()
}
