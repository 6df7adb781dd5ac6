"""WSGI (PEP 3333): the conversation around an app that runs in threads.

Rule 1: the app runs in its request's own thread.  The conversation, and every store, live in the one event loop of
        the process, and what the app says is handed over to it piece by piece.
Rule 2: the environ that the app is given is made of what the policy lets through; `REMOTE_USER` and `vallum.principal`
        are ours, and nothing that a client sends can put them there.
Rule 3: the app's iterable is closed once, whatever happens; one that is left early is an exchange that was cancelled.
"""
