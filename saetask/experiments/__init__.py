"""Paired experiments: the same items in every arm, fitted and tried on different groups."""
