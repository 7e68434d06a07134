"""Pointer Value Retrieval: classification of tokens and images.

Zhang et al. 2021: accuracy by the number of training samples, by the complexity of the function of
the window, and on test inputs from the training distribution or with withheld content.
"""
