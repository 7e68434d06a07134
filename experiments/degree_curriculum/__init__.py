"""Degree curriculum against normal training: how many iterations until a full parity is fitted.

Abbe et al. 2023: the curriculum first shows the samples with few entries -1, and admits those with
more of them once these are fitted; normal training shows all samples from the beginning.
"""
