"""Package metadata: what pvr_jax needs, and the extras that some users add."""

from setuptools import find_packages, setup

# tensorflow_datasets imports importlib_resources and does not declare it.
TFDS = ["tensorflow-datasets>=4.9.9", "array-record>=0.6", "importlib-resources>=6.4"]
TENSORBOARD = "tensorboard>=2.19"

setup(
    name="pvr_jax",
    version="0.1.0",
    description="How neural networks generalize to inputs that training never showed: "
    "canonical holdouts, Boolean influence and Fourier analysis in JAX",
    license="Apache-2.0",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: MacOS",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    # The library alone: experiments and configs, names that others use too, run from a checkout.
    packages=find_packages(include=["pvr_jax", "pvr_jax.*"]),
    package_data={"pvr_jax.reporting": ["*.jinja"]},
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.1",
        "altair>=6.0",
        "flax>=0.12",
        "jax>=0.10,<0.13",
        "jinja2>=3.1",
        "ml-collections>=1.0",
        "netCDF4>=1.7",
        "numpy>=2.0",
        "optax>=0.2.5",
        "orbax-checkpoint>=0.12",
        "pandas>=2.2",
        "pillow>=11.0",
        "pyarrow>=18.0",
        "rich>=13.7",
        "scikit-learn>=1.6",
        "scipy>=1.15",
        "vl-convert-python>=1.8",
        "xarray>=2025.1",
    ],
    extras_require={
        "cuda": ["jax[cuda12]>=0.10,<0.13"],
        "tpu": ["jax[tpu]>=0.10,<0.13"],
        "tfds": TFDS,
        # Of --log; `tensorboard` writes its files itself, without TensorFlow.
        "log": [TENSORBOARD, "wandb>=0.22"],
        "test": [
            "hypothesis>=6.100",
            "ipykernel>=6.29",
            "nbclient>=0.10",
            "nbformat>=5.10",
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            TENSORBOARD,
            *TFDS,
        ],
        # PyTorch for the usual loop, the others as rivals of the transform.
        "bench": [
            "boofun>=1.3",
            "fht-cpu>=1.0; sys_platform == 'linux' and platform_machine == 'x86_64'",
            "hadamard-transform>=0.2",
            "numba>=0.60",
            "torch>=2.5",
        ],
        "torch": ["torch>=2.5"],
    },
)
