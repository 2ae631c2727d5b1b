"""Executors: where work on the model runs, in this process or on a Ray cluster."""
