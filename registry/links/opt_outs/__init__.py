"""Owners of hosts who want no requests of ours: how they say so, and what follows from it."""
