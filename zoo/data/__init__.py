"""The text world: documents to tokens to rows; nothing here knows a neural network."""
