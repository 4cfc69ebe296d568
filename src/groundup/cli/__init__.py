"""The command line and the composition root: the only place that wires everything. One file per verb."""
