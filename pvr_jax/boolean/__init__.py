"""Analysis of functions on {-1,+1}^n: pure, batched, jit-able; knows no network.

`cube` fixes the order of points and of coordinate sets, `fourier` goes from values to
coefficients and back, `measures` reads influences and noise stability off the coefficients.
"""
