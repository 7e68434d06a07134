"""Degree curriculum against standard training: iterations until a full parity is fitted.

Abbe et al. 2023: the curriculum first shows samples with few entries -1, and admits those with more
once these are fitted; standard training shows all samples from the beginning.
"""
