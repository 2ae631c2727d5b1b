"""Engines: where shards of work run, in this process or in the workers of a Ray cluster."""
