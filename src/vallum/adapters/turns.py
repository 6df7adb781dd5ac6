"""A conversation in turns: it goes on with every thing that an app says, in the task in which the app says it.

`conduct` asks a service and waits for what it says.  An app is called, and calls back.  A task for one of the two would
make them meet, at the price of a task and several turns of the event loop for every request; and an app that runs in a
task of ours would no longer run in its server's.  So the conversation is what is suspended: it parks where it waits for
the app, and is resumed by what the app says next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

PARKED = object()


class Park:
    """What a conversation awaits where it waits for the app."""

    def __await__(self) -> Generator[Any, Any, None]:
        """Suspend; `Turns` resumes it."""
        yield PARKED


PARK = Park()


class Turns:
    """A conversation that is resumed by hand."""

    __slots__ = ("_conversation", "_error", "busy", "ended")

    def __init__(self, conversation: Coroutine[Any, Any, None]) -> None:
        """Hold a conversation that has not begun."""
        self._conversation = conversation
        self._error: BaseException | None = None
        self.ended = False
        self.busy = False  # it is awaiting something of its own, and must not be resumed

    def throw(self, error: BaseException) -> Turns:
        """Make ready to go on with an error; awaiting it goes on."""
        self._error = error
        return self

    def __await__(self) -> Generator[Any, Any, None]:
        """Go on until it parks again or ends; what it awaits meanwhile, whoever resumed it waits for."""
        conversation, error, self._error = self._conversation, self._error, None
        self.busy = True
        try:
            wanted = conversation.send(None) if error is None else conversation.throw(error)
            while wanted is not PARKED:
                try:
                    yield wanted
                except GeneratorExit:
                    conversation.close()
                    raise
                except BaseException as thrown:  # noqa: BLE001  it is the conversation's to meet
                    wanted = conversation.throw(thrown)
                else:
                    wanted = conversation.send(None)
        except StopIteration:
            self.ended = True
        except BaseException:
            self.ended = True
            raise
        finally:
            self.busy = False
