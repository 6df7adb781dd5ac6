"""ASGI 3: the conversation around an app in its own process.

Rule 1: the app runs in its server's task and sees the request that the policy lets through: the canonical path, the
        allowed header fields, the body as it was rewritten, and in `scope["vallum"]` the principal, which nothing that
        a client sends can put there.
Rule 2: what the app sends goes on to the client as far as the policy lets it, when the app sends it: streams stay live,
        and the app waits while the client does not read.
Rule 3: a client that leaves, an app that is silent for longer than its upstream's `timeout_s`, and an answer that may
        not go on, all end the app: by cancelling it, or by an OSError where it sends.
Rule 4: what the policy does not speak of is refused: web sockets, and kinds of scope that nobody knows.
"""
