"""Sweeps: thousands of configurations of one config file, trained together if possible.

python -m experiments.main --config=configs/canonical_holdout.py --sweep=tasks,bits,rates

`definition` makes the cells, `plan` packs them and assigns packs to shards, `execute` runs them;
`pvr_jax.reporting.sweeps` makes the table. `Experiment.alike` decides which cells train together.
"""
