"""Analysis of functions on {-1,+1}^n: pure, batched and jittable.

`cube` defines the order of points and of coordinate sets, `fourier` transforms between values and
coefficients, `measures` computes influences and noise stability from coefficients. `sampling`
estimates them from random points where there are too many to list, and `sparse_spectrum` finds the
large coefficients of such a function.
"""
