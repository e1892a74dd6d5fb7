"""What a model costs on Arm's Ethos-U NPUs, as their compiler Vela estimates it."""
