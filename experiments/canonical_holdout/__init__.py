"""The paper's central experiment: freeze one bit in training, compare the error with influence.

Abbe et al. 2022: the training set shows only inputs with x_k = +1; what the network does on the
other half of the cube is compared with the Boolean influence of bit k.
"""
