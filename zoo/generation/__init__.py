"""From logits to text: caches, choosing the next token, continuing prompts, filling blanks, streaming."""
