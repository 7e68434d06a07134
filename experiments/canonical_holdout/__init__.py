"""The paper's central experiment: freeze one bit in training, compare the error with influence.

Abbe et al. 2022: training shows only inputs with x_k = +1; the generalization error over the whole
cube is compared with the Boolean influence of bit k.
"""
