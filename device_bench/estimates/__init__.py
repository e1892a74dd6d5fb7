"""What a model should take on paper: a roofline, and energy. Estimates, all of them."""
