"""What no Vonage message says of itself: which call a conversation goes on, and that nobody answered in it.

A transfer moves a leg into a new conversation, and the leg's later events name the new one only. And a
recording says nothing about what it is a recording of. The URLs of our own NCCOs answer both; this memory
does where a message came to a URL without them (the application's event URL, NCCOs written elsewhere).
"""

from __future__ import annotations

from collections import OrderedDict


class Conversations:
    """In memory and bounded, the oldest forgotten first: a process that was started since knows nothing."""

    def __init__(self, most: int = 16_384) -> None:
        self._most = most
        self._calls: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._unanswered: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def call_of(self, source: str, conversation: str) -> str:
        """The key of the call: the conversation in which it began."""
        return self._calls.get((source, conversation), conversation)

    def join(self, source: str, conversation: str, call: str) -> None:
        """From now on ``conversation`` goes on ``call``. Chains are followed, circles are not made."""
        call = self.call_of(source, call)
        if call != conversation:
            self._calls[source, conversation] = call
            if len(self._calls) > self._most:
                self._calls.popitem(last=False)

    def note_answer(self, source: str, call: str, *, answered: bool) -> None:
        """An agent's leg was picked up, or was not. Once picked up, a call stays answered."""
        key = (source, call)
        self._unanswered[key] = not answered and self._unanswered.get(key, True)
        if len(self._unanswered) > self._most:
            self._unanswered.popitem(last=False)

    def nobody_answered(self, source: str, call: str) -> bool:
        return self._unanswered.get((source, call), False)
