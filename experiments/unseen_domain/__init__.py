"""Generalization on the unseen: any holdout, against the exact min-degree interpolator.

Abbe et al. 2023: among all functions that agree with the target where training looks, low-degree
bias picks the one with the least degree profile; what networks do off the seen set is compared with
it, in coefficients and in error, through training.
"""
