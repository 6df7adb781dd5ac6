"""`vallum`: the group of commands."""

from __future__ import annotations

import sys

import click

from vallum import __version__
from vallum.cli.check import check
from vallum.cli.demo import demo
from vallum.cli.drafts import import_openapi
from vallum.cli.estimate import estimate_command
from vallum.cli.extraction import extraction
from vallum.cli.init import init
from vallum.cli.keys import keys
from vallum.cli.learn import learn
from vallum.cli.limits import limits
from vallum.cli.probe import probe
from vallum.cli.replay import replay
from vallum.cli.schema import schema
from vallum.cli.serve import serve
from vallum.cli.terminal import DEPENDENCY, MISUSE, complain
from vallum.cli.tokens import tokens
from vallum.cli.tune import tune
from vallum.cli.why import why
from vallum.config.source import PolicyFileError
from vallum.core.errors import DependencyError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vallum")
def vallum() -> None:
    """Protect an AI inference endpoint.

    \b
    Try it:      vallum demo
    Protect:     vallum serve --upstream http://127.0.0.1:9000
    Exit codes:  0 done · 1 the thing checked does not hold · 2 wrong use or invalid policy
                 3 a dependency could not be reached
    """


COMMANDS = (
    demo,
    serve,
    check,
    keys,
    tokens,
    limits,
    extraction,
    why,
    schema,
    init,
    import_openapi,
    learn,
    tune,
    estimate_command,
    replay,
    probe,
)
for command in COMMANDS:
    vallum.add_command(command)


def main() -> None:
    """Run the command line; turn our own errors into a sentence and an exit code."""
    try:
        code = vallum.main(standalone_mode=False)  # what `ctx.exit` was given, else what the command returned
        sys.exit(code if isinstance(code, int) else 0)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(MISUSE)
    except PolicyFileError as error:
        complain(str(error))
        sys.exit(MISUSE)
    except DependencyError as error:
        complain(str(error))
        sys.exit(DEPENDENCY)
