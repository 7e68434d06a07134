"""Reports of experiments: tables, charts, one page that opens without a network; no JAX.

An experiment's `report.py` is a value, `publish.Report`: a list of exhibits, each made from a
`results.Study` and nothing else.
"""
