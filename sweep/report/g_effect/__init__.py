"""Plots of gradient effects, for sweeps that measured them (`eval.g_effect`); the page has them under a heading.

    curves     choose the settings that are drawn, and average their effects over seeds
    scales     scales for effects, which have both signs and span orders of magnitude
    steps      plot the effects over steps, a line for each setting
    maps       plot the best setting's effects over steps by layer, and by forget row
    weights    plot the weights of tokens over their probability
    early      plot the score over the effects of the first epoch, with their rank correlation
    sections   build the figures and tables under the heading, of one sweep and of several that are compared

Imported by `sweep.report.sections`.
"""
