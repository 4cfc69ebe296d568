"""Measuring what a model does: bits per byte, tasks with a judge, baselines beside it, intervals, and the run's report.

Everything here works on any `Generator` or `Scorer` and never imports torch, the models or the trainer.
"""
