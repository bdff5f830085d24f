"""Tokenizers: trained, loaded, saved; text to ids and back, special tokens by role."""
