"""Indexes in object stores: pushed, pulled, and read through a cache. `docs/object-stores.md` tells it from the outside."""
