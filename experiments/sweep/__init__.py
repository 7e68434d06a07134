"""A sweep: thousands of configurations of one config file, trained together where they can be.

python -m experiments.main --config=configs/canonical_holdout.py --sweep=tasks,bits,rates

`definition` makes the cells, `plan` packs and deals them, `execute` runs them; the table is
`pvr_jax.reporting.sweeps`. Which cells train in one program an experiment says: `alike`.
"""
