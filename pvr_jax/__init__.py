"""How neural networks generalize to inputs that training never showed.

The rooms: `boolean` analyses functions on {-1, +1}^n, `tasks` say what to learn, `models` with
what, `training` trains many replicas and keeps them, `analysis` measures what was learned,
`reporting` shows it. Importing this package imports none of them, and not JAX.
"""

__version__ = "0.1.0"
