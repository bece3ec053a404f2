"""The schema `marketdata`: its tables, and the engine that keeps them."""
