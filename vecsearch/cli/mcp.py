"""vecsearch mcp"""

from __future__ import annotations

import click

from vecsearch.cli.served import named_folders
from vecsearch.errors import UsageError


@click.command()
@click.argument("indexes", nargs=-1, required=True, metavar="INDEX...")
def mcp(indexes: tuple[str, ...]) -> None:
    """Let assistants search INDEX by the Model Context Protocol.

    There may be several. The assistant starts this command and speaks with it on standard input and output. An index is called
    as its folder is, or as NAME=FOLDER says. It is only read; every call is answered from its newest generation.
    """
    folders = named_folders(indexes)
    try:
        from vecsearch.serving.agents import Agents, server
    except ModuleNotFoundError as error:
        raise UsageError(f"this needs {error.name}: pip install 'vecsearch[mcp]'") from None
    from vecsearch.index.index import Index

    agents = Agents(folders, Index.open)
    try:
        server(agents).run("stdio")
    finally:
        agents.close()
