"""`vallum`: the group of commands."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NamedTuple, NoReturn

import click

from vallum import __version__
from vallum.config.source import PolicyFileError
from vallum.core.errors import DependencyError


class Entry(NamedTuple):
    """A command: where it is, and what the list of commands says of it."""

    module: str
    attribute: str
    says: str


COMMANDS = {
    "check": Entry("check", "check", "Validate POLICY and show what holds."),
    "demo": Entry("demo", "demo", "Start two small models, and a gateway before them."),
    "envoy": Entry("envoy", "envoy", "Answer what Envoy and nginx ask about requests, by POLICY."),
    "estimate": Entry("estimate", "estimate_command", "What a copy of the model would cost under POLICY."),
    "export": Entry("export", "export", "Write POLICY as configuration of another gateway."),
    "extraction": Entry("extraction", "extraction", "See who is suspected of copying a model, and pardon."),
    "import-openapi": Entry("drafts", "import_openapi", "Write a policy after an OpenAPI document."),
    "init": Entry("init", "init", "Print a policy to start from."),
    "keys": Entry("keys", "keys", "Make, list, check, rotate and revoke API keys."),
    "learn": Entry("learn", "learn", "Propose a policy after recorded requests."),
    "limits": Entry("limits", "limits", "Raise a subject's limits for a time, and take that back."),
    "probe": Entry("probe", "probe", "Test any inference endpoint as an attacker would."),
    "replay": Entry("replay", "replay", "Play recorded exchanges through POLICY."),
    "schema": Entry("schema", "schema", "Print the JSON Schema of the policy file, for editors."),
    "serve": Entry("serve", "serve", "Run the gateway with POLICY, vallum.yaml by default."),
    "tokens": Entry("tokens", "tokens", "Look after the key that tokens are signed with."),
    "tune": Entry("tune", "tune", "Calibrate the prompt-injection check on honest traffic."),
    "why": Entry("why", "why", "Explain one exchange, by its request id."),
}


class Commands(click.Group):
    """A group whose commands are imported when one is called: all of them together take a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"vallum.cli.{entry.module}"), entry.attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, none of which is imported."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].says) for name in sorted(COMMANDS)])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vallum")
def vallum() -> None:
    """Protect an AI inference endpoint.

    \b
    Try it:      vallum demo
    Protect:     vallum serve --upstream http://127.0.0.1:9000
    Exit codes:  0 done · 1 the thing checked does not hold · 2 wrong use or invalid policy
                 3 a dependency could not be reached
    """


def main() -> None:
    """Run the command line; turn our own errors into a sentence and an exit code."""
    try:
        code = vallum.main(standalone_mode=False)  # what `ctx.exit` was given, else what the command returned
        sys.exit(code if isinstance(code, int) else 0)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)  # terminal.MISUSE
    except PolicyFileError as error:
        _fail(error, "MISUSE")
    except DependencyError as error:
        _fail(error, "DEPENDENCY")


def _fail(error: Exception, code: str) -> NoReturn:
    terminal = import_module("vallum.cli.terminal")  # whichever command failed has imported it
    terminal.complain(str(error))
    sys.exit(getattr(terminal, code))
