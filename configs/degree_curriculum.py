"""Degree curriculum against standard training: fewer iterations until a full parity is fitted?

Paper:     Abbe et al. 2023, "Generalization on the Unseen, Logic Reasoning and Degree Curriculum":
           the parity of all d coordinates, the MLP, N random samples. The curriculum of leap 4
           shows those with at most 4 entries -1, then 8, and so on, each time until the loss of an
           epoch is below .001; standard training has the leap d. The comparison is of iterations
           until the end, and of the error on the whole cube.
Command:   ./launch.sh reproduce degree_curriculum --size=small
           ./launch.sh run configs/degree_curriculum.py:size=small
Choices:   size=small|paper, tiny. paper: d = 16, N = 3,000 to 11,000, Adam 1e-4, seeds 1 to 10, at
           most 2,000 epochs: 100 replicas, for an accelerator. small: the same MLP and 10 seeds,
           d = 10, N = 500, 1,000 and 2,000, Adam 5e-4, at most 1,000 epochs.
Numbers:   by flags, for example --config.data.samples=2000,3000 --config.train.seeds=3; another
           --config.task.n needs --config.curriculum.leaps=4,N too.
Time:      small: 5 to 8 minutes on two CPU cores.
Expect:    samples are drawn with replacement: of the 1,024 points, N = 500, 1,000 and 2,000 are
           about 395, 640 and 880. The curriculum takes two to four times the iterations of
           standard training, not fewer, but learns the parity from fewer samples: with 1,000,
           standard training fits them and learns about half the parity, the curriculum four fifths.

Settings tried for size=small, with one seed unless noted; the criterion was that both conditions
end. Standard training always does. The curriculum can stay in its first stage for long, with few
and small batches per epoch (1): more often at d = 12 with Adam 5e-4 (3 of 9 replicas still there
after 240 epochs) and at d = 10 with 1e-4 or 2e-4 (1 of 4 after 400 epochs, 3 of 6 after 240) than
at d = 10 with 5e-4 (1 of 6, until epoch 560). Iterations and error on the whole cube (.5 is that of
the constant 0):

    d   Adam   N       standard    curriculum
    10  1e-4     500     440  .67     861  .67
    10  1e-4   1,000     768  .45   3,447  .082   (1)
    10  1e-4   2,000   1,120  .126  6,556  .011
    10  5e-4     500     244  .68     600  .59    (mean of 2 seeds)
    10  5e-4     700     308  .53     888  .22
    10  5e-4   1,000     384  .32   1,206  .12    (mean of 2 seeds)
    10  5e-4   2,000     640  .030  2,235  .012
    12  1e-4   1,500   1,248  .68   2,837  .135
    12  1e-4   4,000   2,646  .176  6,846  .017
    12  5e-4     600     310  .80     502  .80
    12  5e-4   1,000     496  .73     797  .69
    12  5e-4   1,500     624  .58   1,810  .091   (1)
    12  5e-4   2,500   1,200  .136  3,575  .021   (1)
    14  3e-4   6,000   2,162  .11   7,868  .015
    16  1e-4   7,000   7,150  .58  14,775  .057   (the paper's; not ended after 300 epochs)
"""

import ml_collections

from configs import canonical_holdout as base
from configs import sections

SIZES = ("small", "paper")
# Size -> coordinates, numbers of samples, learning rate, maximal epochs, epochs per evaluation.
SETTINGS = {
    "small": (10, (500, 1000, 2000), 5e-4, 1000, 100),
    "paper": (16, (3000, 5000, 7000, 9000, 11_000), 1e-4, 2000, 5),
}
TINY = {"widths": (32, 16)}


def runs(size: str) -> list[str]:
    """Return the choices of every run of the experiment in this size."""
    return [f"size={size}"]


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """Return the configuration of all conditions, in one program; `arg` has the choices."""
    chosen = base.choose(arg, size=SIZES)
    n, samples, rate, epochs, every = SETTINGS[chosen["size"]]
    config = ml_collections.ConfigDict(
        {
            "experiment": "degree_curriculum",
            "size": chosen["size"],
            "task": {"name": "parity", "n": n, "degree": n},
            "model": {"name": "mlp", **base.MLP},
            "curriculum": {
                "leaps": (4, n),  # entries -1 more per stage; n is standard training
                "threshold": 1e-3,  # a stage ends at this mean batch loss of an epoch
            },
            "data": {
                "samples": samples,  # numbers N of rows, drawn from the cube with replacement
                "batch_size": 64,  # rows are reshuffled every epoch; the last batch is smaller
            },
            "train": sections.train(
                # replicas = samples x leaps x rates x init scales x seeds, trained in one program
                seeds=10,
                first_seed=1,
                epochs=epochs,  # at most; finished replicas take no more steps
                learning_rates=(rate,),
            ),
            "evaluation": {
                "every_epochs": every,  # on the whole cube
                "logarithmic": 48,  # also at about 48 log-spaced epochs, since standard training
                # ends early
            },
            "checkpoint": sections.checkpoint(2),
        }
    )
    if chosen["tiny"]:
        config.task.update({"n": 5, "degree": 5})
        config.curriculum.leaps = (2, 5)
        config.data.update({"samples": (20, 40), "batch_size": 8})
        config.train.update({"seeds": 2, "epochs": 200, "learning_rates": (1e-2,)})
        config.evaluation.update({"every_epochs": 25, "logarithmic": 4})
        config.model.update(TINY)
    return config.lock()
