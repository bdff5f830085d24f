"""Training on pytorch-lightning: the only room that imports it, and wandb."""
