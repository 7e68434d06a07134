"""Builders for tensorflow_datasets: what is read back are the library's own rows, bit for bit."""

import os
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module

import pvr_jax.builders
from experiments.pointer_value.experiment import EXPERIMENT
from pvr_jax.builders import TokenConfig, TokenPvr, VisualConfig, VisualPvr
from pvr_jax.builders.drawn import CHUNK
from pvr_jax.building import replicas_of
from pvr_jax.experiment import Program
from pvr_jax.tasks import classification, drawn_sets

# Doors to the network are shut, and TensorFlow is not there, in processes that begin with this.
ALONE = """
import importlib.util, socket, sys
def shut(*arguments, **keywords):
    raise SystemExit("network")
socket.socket.connect = socket.getaddrinfo = socket.create_connection = shut
missing, find = {missing}, importlib.util.find_spec
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in missing:
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
importlib.util.find_spec = lambda name, *more: None if name in missing else find(name, *more)
"""


def python(*arguments, missing=("tensorflow",), path=None, **environment):
    """Run Python where those packages are missing, in a process of its own."""
    (path / "sitecustomize.py").write_text(ALONE.format(missing=missing))
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(path), *sys.path[1:]]),
            "JAX_PLATFORMS": "cpu",
            **environment,
        },
    )


@pytest.fixture
def own(tmp_path):
    """A directory for sitecustomize.py, apart from that of the data."""
    directory = tmp_path / "site"
    directory.mkdir()
    return directory


@pytest.fixture(scope="module", autouse=True)
def quiet():
    tfds.disable_progress_bar()


def task_of(config):
    if isinstance(config, VisualConfig):
        return classification.make("visual_pvr", withheld=(config.withheld,))
    return classification.make(
        "token_pvr",
        aggregations=(config.aggregation,),
        complexities=(config.complexity,),
        withheld=(config.withheld,),
        boundary=config.boundary,
    )


def expected_rows(config, split, count):
    """The rows as an experiment draws them, and in another order."""
    task = task_of(config)
    part = split.removeprefix("test_")

    @jax.jit
    def drawn(key, rows, conditions):
        if part == "train":
            return drawn_sets.training_rows(task.draw, key, rows, conditions)
        return drawn_sets.test_rows(task.draw, part, rows, conditions)

    row = {"learning_rate": 1e-3, "init_scale": 1.0, "seed": config.seed}
    program = Program(init=None, outputs=None, measure=None)
    key = replicas_of(EXPERIMENT, program, pd.DataFrame([row])).data_key[0]
    conditions = jax.tree.map(jnp.int32, task.subtasks[0].conditions)
    # As many as the builder draws at once, so that the program is compiled once for both.
    backwards = jnp.arange(CHUNK - 1, -1, -1)
    found = []
    for first in range(0, count, CHUNK):
        rows = drawn(key, first + backwards, conditions)
        found.append(jax.tree.map(lambda values: np.asarray(values)[::-1], rows))
    return jax.tree.map(lambda *values: np.concatenate(values)[:count], *found)


CONFIGS = {
    "token_pvr": [
        TokenConfig(complexity=2, withheld=3, train_samples=70, test_samples=40),
        TokenConfig(
            aggregation="max",
            complexity=3,
            withheld=0,
            train_samples=1100,
            test_samples=5,
            seed=7,
        ),
    ],
    "visual_pvr": [
        VisualConfig(train_samples=60, test_samples=30),
        VisualConfig(withheld=0, train_samples=60, test_samples=30, seed=2),
    ],
}
CASES = [(name, config) for name, configs in CONFIGS.items() for config in configs]


@pytest.mark.slow
@pytest.mark.parametrize("name, config", CASES, ids=[config.name for _, config in CASES])
def test_what_is_read_back_are_the_librarys_rows(name, config, tmp_path):
    sources = tfds.data_source(f"{name}/{config.name}", data_dir=tmp_path)
    assert set(sources) == {"train", "test_iid"} | ({"test_withheld"} if config.withheld else set())
    for split, source in sources.items():
        size = config.train_samples if split == "train" else config.test_samples
        assert len(source) == size
        expected = expected_rows(config, split, size)
        for row in range(size):
            example = source[row]
            assert example.keys() == {"x", "y"}
            assert example["x"].dtype == expected["x"].dtype
            assert np.array_equal(example["x"], expected["x"][row])
            assert example["y"] == expected["y"][row]
    # Any order, many at once, and again from what is on disk.
    again = tfds.data_source(
        f"{name}/{config.name}", split="train", data_dir=tmp_path, download=False
    )
    several = again.__getitems__([5, 0, 5])
    assert np.array_equal(several[0]["x"], sources["train"][5]["x"])
    assert np.array_equal(several[1]["x"], sources["train"][0]["x"])
    assert "tensorflow" not in sys.modules


WORKERS = """
import multiprocessing, sys

def examples(source):
    rows = list(range(len(source) - 1, -1, -1))
    found = [source[row] for row in rows[:50]] + list(source.__getitems__(rows[50:]))
    return [(example["x"].tolist(), int(example["y"])) for example in found]

def read(source, answers):
    answers.put(examples(source))

if __name__ == "__main__":
    import pvr_jax.builders
    import tensorflow_datasets as tfds

    source = tfds.data_source(sys.argv[1], split="train", data_dir=sys.argv[2])
    expected = examples(source)
    for method, count in [("fork", 6)] * 8 + [("spawn", 1)]:
        assert examples(source) == expected
        context = multiprocessing.get_context(method)
        answers = context.Queue()
        workers = [context.Process(target=read, args=(source, answers)) for _ in range(count)]
        for worker in workers:
            worker.start()
        print(method, [answers.get(timeout=60) == expected for _ in workers])
        for worker in workers:
            worker.join(60)
    assert examples(source) == expected  # and the parent reads on
"""


@pytest.mark.slow
def test_workers_read_a_data_set_that_was_looked_at_before(tmp_path, own):
    builder = TokenPvr(config=TokenConfig(train_samples=200, test_samples=5), data_dir=tmp_path)
    builder.download_and_prepare()
    (own / "workers.py").write_text(WORKERS)
    name = f"{builder.name}/{builder.builder_config.name}"
    done = python(str(own / "workers.py"), name, str(tmp_path), path=own)
    # Of a reader with threads one in three of these rounds waits for ever.
    assert done.stdout == f"fork {[True] * 6}\n" * 8 + "spawn [True]\n", done.stderr


@pytest.mark.slow
def test_no_reader_asks_threads_that_a_forked_process_lacks(tmp_path, monkeypatch):
    # What makes the test above pass every time, where one with threads may pass by luck.
    opened = []
    reader = array_record_module.ArrayRecordReader

    def spy(file, options="", **more):
        opened.append(options.split(","))
        return reader(file, options=options, **more)

    for module in list(sys.modules.values()):
        if getattr(module, "ArrayRecordReader", None) is reader:
            monkeypatch.setattr(module, "ArrayRecordReader", spy)
    config = TokenConfig(train_samples=20, test_samples=5)
    source = tfds.data_source(f"token_pvr/{config.name}", split="train", data_dir=tmp_path)
    assert len([source[3], *source.__getitems__([0, 7])]) == 3
    assert opened and all("max_parallelism:0" in options for options in opened)


@pytest.mark.slow
def test_threads_read_a_data_set_together_and_a_pickle_reads_it_again(tmp_path):
    builder = TokenPvr(config=TokenConfig(train_samples=200, test_samples=5), data_dir=tmp_path)
    builder.download_and_prepare()
    source = builder.as_data_source(split="train[30:]")
    rows = [(source[row]["x"].tolist(), source[row]["y"]) for row in range(170)]
    whole = builder.as_data_source(split="train")
    assert (len(source), rows[0][0]) == (170, whole[30]["x"].tolist())

    def read(_):
        return [(example["x"].tolist(), example["y"]) for example in source]

    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(read, range(8))) == [rows] * 8
    again = pickle.loads(pickle.dumps(source))
    assert again[169]["x"].tolist() == rows[169][0]
    with pytest.raises(IndexError, match="row: given 170; allowed 0 to 169"):
        again[170]


@pytest.mark.slow
def test_a_configuration_may_be_an_object_or_a_name(tmp_path):
    config = TokenConfig(train_samples=20, test_samples=5)
    by_object = TokenPvr(config=config, data_dir=tmp_path)
    by_name = tfds.builder("token_pvr", config="mod_sum-m1-withheld1-train20-test5")
    assert by_name.builder_config == by_object.builder_config == config
    by_object.download_and_prepare()
    assert by_object.info.splits["test_withheld"].num_examples == 5
    assert by_object.info.metadata["seed"] == 0
    assert by_object.info.metadata["aggregation"] == "mod_sum"
    # One that is listed, given as an object.
    listed = VisualPvr(config=VisualConfig(withheld=0), data_dir=tmp_path)
    assert listed.builder_config is VisualPvr.builder_configs["withheld0"]
    assert VisualPvr(data_dir=tmp_path).builder_config.name == "withheld1"


@pytest.mark.parametrize(
    "config",
    [
        TokenConfig(),
        TokenConfig(aggregation="median", complexity=4, withheld=120, boundary="cyclic"),
        TokenConfig(aggregation="min", complexity=0, withheld=0, seed=3, train_samples=5),
        TokenConfig(aggregation="median", complexity=1, test_samples=7),
        VisualConfig(source="mnist", withheld=0, seed=12),
        VisualConfig(train_samples=1, test_samples=2, seed=3),
    ],
    ids=lambda config: config.name,
)
def test_a_name_says_everything(config):
    read = type(config).parse(config.name)
    assert read.name == config.name
    for field, value in config.values().items():
        if field != "aggregation":
            assert getattr(read, field) == value
    if isinstance(config, TokenConfig):  # an aggregation may be the same function as another
        assert read.task().subtasks == config.task().subtasks


def test_names():
    assert TokenConfig().name == "mod_sum-m1-withheld1"
    assert TokenConfig(aggregation="median", complexity=1).name == "min-m1-withheld1"
    assert TokenConfig(aggregation="max", complexity=0).name == "retrieval-m0-withheld1"
    assert VisualConfig(source="mnist", train_samples=9).name == "withheld1-mnist-train9"
    names = list(TokenPvr.builder_configs)
    assert len(names) == len(set(names)) == len(TokenPvr.BUILDER_CONFIGS) > 10
    assert TokenPvr.DEFAULT_BUILDER_CONFIG_NAME in names


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: TokenConfig(complexity=10), "complexities: given 10; allowed 0 to 9"),
        (lambda: TokenConfig(withheld=3), "withheld: given 3; allowed 0 to 2 with complexity 1"),
        (lambda: TokenConfig(train_samples=0), "train_samples: given 0; allowed 1 to 100000000"),
        (lambda: VisualConfig(withheld=2), "withheld: given 2; allowed 0, 1"),
        (lambda: VisualConfig(source="letters"), "source: given 'letters'; allowed digits, mnist"),
        (lambda: TokenConfig(seed=-1), "seed: given -1; allowed 0 to 2147483645"),
        (lambda: TokenPvr(config="mod-sum"), "config: given 'mod-sum'; allowed names such as mod_"),
        (lambda: VisualPvr(config="withheld1-train"), "config: given 'withheld1-train'; allowed "),
    ],
)
def test_complaints(make, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_command(tmp_path, own):
    data_dir = tmp_path / "data"
    flags = ["--config=mod_sum-m1-withheld2-train30-test10", f"--data_dir={data_dir}"]
    done = python("-m", "pvr_jax.builders", "prepare", "token_pvr", *flags, path=own)
    assert done.returncode == 0, done.stderr
    directory = data_dir / "token_pvr" / "mod_sum-m1-withheld2-train30-test10" / "1.0.0"
    assert str(directory) in done.stdout.splitlines()
    assert "train 30, test_iid 10, test_withheld 10" in done.stdout.splitlines()[0]
    assert "ownload" not in done.stdout

    # As printed, where neither pvr_jax nor JAX is.
    code = done.stdout[done.stdout.index("  import") :].replace("  import", "import")
    code = re.sub(r"^  ", "", code, flags=re.MULTILINE)
    code = code[: code.index("torch")] + 'print(source[29]["x"].tolist(), source[29]["y"])'
    read = python("-c", code, missing=("tensorflow", "jax", "pvr_jax"), path=own)
    config = TokenConfig(withheld=2, train_samples=30, test_samples=10)
    expected = expected_rows(config, "train", 30)
    assert read.stdout.split("] ")[0] + "]" == str(expected["x"][29].tolist()), read.stderr
    assert read.stdout.split("] ")[1].strip() == str(expected["y"][29])


@pytest.mark.slow
def test_the_snippet_of_the_documentation(tmp_path, own):
    found = re.search(r"\n\n((    .*\n|\n)+?)\nA data source", pvr_jax.builders.__doc__)
    code = re.sub(r"^    ", "", found.group(1), flags=re.MULTILINE)
    done = python("-c", code, path=own, TFDS_DATA_DIR=str(tmp_path / "data"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("10000 [")
    assert done.stdout.splitlines()[-1].endswith(" (24, 24)")


@pytest.mark.slow
def test_the_command_names_mistakes(tmp_path, own):
    for dataset, config, message in [
        ("token_pvr", "mod_sum", "error: config: given 'mod_sum'; allowed names such as"),
        ("visual_pvr", "withheld1-mnist", "error: source: given 'mnist'; allowed where it is"),
    ]:
        flags = [f"--config={config}", f"--data_dir={tmp_path / 'data'}"]
        done = python("-m", "pvr_jax.builders", "prepare", dataset, *flags, path=own)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith(message)
        assert "Traceback" not in done.stderr
        assert not list(tmp_path.glob("data/**/dataset_info.json"))


def test_without_the_extra(own):
    line = "the package array_record is missing; ./launch.sh setup tfds installs it"
    command = ("-m", "pvr_jax.builders", "prepare", "token_pvr")
    done = python(*command, missing=("array_record",), path=own)
    assert (done.returncode, done.stderr) == (2, f"error: {line}\n")
    done = python("-c", "import pvr_jax.builders", missing=("array_record",), path=own)
    assert done.stderr.splitlines()[-1] == f"ImportError: {line}"
