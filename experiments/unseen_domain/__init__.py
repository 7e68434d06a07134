"""Generalization on the unseen: any holdout, against the exact min-degree interpolator.

Abbe et al. 2023: among all functions that agree with the target on the seen inputs, a low-degree
bias selects the one with the smallest degree profile. Learned functions are compared with it, in
coefficients and in error, during training.
"""
