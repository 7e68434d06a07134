"""The flags of the command line."""

from absl import flags
from ml_collections import config_flags

from experiments.registry import STAGES

MAX_SEEDS = 40


def define_flags(arguments: list[str]) -> flags.FlagValues:
    """Return the flags, not parsed yet; `arguments` tell which fields are overridden."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config",
        None,
        "the configuration: a file of configs/, its choices after a colon",
        flag_values=values,
        sys_argv=arguments,
    )
    flags.DEFINE_enum(
        "stage",
        "all",
        ["all", *STAGES],
        "which stage to run; all runs those that are not done",
        flag_values=values,
    )
    define_common(values)
    flags.DEFINE_string(
        "log",
        "",
        "tensorboard, wandb, or both, separated by a comma: where evaluations are logged too",
        flag_values=values,
    )
    flags.DEFINE_string(
        "sweep",
        "",
        "names of generators of the config file (functions sweep_NAME), separated by commas: "
        "every configuration of their product",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "until",
        None,
        ["decided"],
        "decided: add seeds, 5, 10, 20, … in all, until every verdict is decided",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "max_seeds",
        MAX_SEEDS,
        "with --until=decided: the largest number of seeds",
        lower_bound=2,
        flag_values=values,
    )
    flags.DEFINE_string(
        "shard",
        "",
        "i/n, i from 0 to n - 1: of a sweep, the part of one of n processes",
        flag_values=values,
    )
    return values


def define_common(values: flags.FlagValues) -> None:
    """Add the flags that runs and reproductions share."""
    flags.DEFINE_string(
        "workdir", "runs", "the directory under which all files go", flag_values=values
    )
    flags.DEFINE_bool(
        "check",
        False,
        "name what is wrong with this command; run nothing, read no data and no other run",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "verbose",
        False,
        "say more, such as how fast each way to run the replicas was found to be",
        short_name="v",
        flag_values=values,
    )
    flags.DEFINE_bool("help", False, "show the flags", flag_values=values)
    flags.DEFINE_enum(
        "hosts",
        "one",
        ["one", "all"],
        "all: this process is one of several that train together, started by Slurm, on every "
        "worker of a TPU slice, or by hand",
        flag_values=values,
    )
