"""Real events for a running server: what a provider, a mail program or a browser would send.

One file per provider that can be simulated, found by its ``SCRIPT``, as in ``handlers/telephony``; what it
sends and signs is in ``<provider>_wire.py`` where that is much.
"""
