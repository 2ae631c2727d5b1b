"""Converters of public data sets to saetask's items; one file for each data set."""
