"""What the tests of the edges share: fake nodes, the two edges, a client, and what the tests of real clients have for processes."""

import pathlib

# One set of tools to start and stop processes, in tests/clients.
__path__.append(str(pathlib.Path(__file__).parents[2] / "clients" / "support"))
