"""Pointer Value Retrieval: classification of tokens and images.

Zhang et al. 2021: how accuracy depends on the number of training samples, on how complex the
function of the window is, and on whether test inputs come from the training distribution or show
what training withheld.
"""
