"""Circuits for Google hardware: placement, export, samplers and the closed loop. Nothing is here yet."""
