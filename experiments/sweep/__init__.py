"""A sweep: thousands of configurations of one config file, trained together where they can be.

python -m experiments.main --config=configs/canonical_holdout.py --sweep=tasks,bits,rates

`definition` makes the cells, `plan` packs and deals them, `execute` runs them; the table is
`pvr_jax.reporting.sweeps`. An experiment whose package has `packing.py` (see that of
`canonical_holdout`) has its cells packed; those of the others are runs, one after the other.
"""
