"""A model to devices, stage by stage: stages.py decides, deployments.py joins it to the graph and the broker."""
