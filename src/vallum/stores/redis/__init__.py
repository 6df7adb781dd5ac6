"""Counters on Redis or Valkey: one server, Sentinel, or a cluster.

address    what a URL says
link       one connection: commands of one turn of the event loop leave together, replies come back in order
topology   which server serves a key
scripts    demands as calls of the Lua scripts
counters   the store itself
"""
