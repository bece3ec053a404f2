"""From events to rows of `marketdata`."""
