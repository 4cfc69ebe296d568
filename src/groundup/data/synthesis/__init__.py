"""Instruction data made by a Generator or by our own templates: makers, filters, and the card of what came of them.

A *maker* yields rows; what it refuses it yields too, with a reason. Makers are functions of their config, a seed and the
completions they are given, so a run that kept its completions (groundup.client.CachedGenerator) goes on where it was killed.
"""
