"""Every Boolean function of a few bits with every bit frozen, from its seen half up to symmetry.

What is learned depends on the seen half alone, so one network per class of seen halves and seed
gives the errors of all functions. Where does the low-degree bias of Abbe et al. 2022 hold?
"""
