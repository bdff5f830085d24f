"""Families of models, one file each; this list is what registers them."""

from zoo.models import create, decoder, encoder, encoder_decoder, presets
from zoo.models.base import Model, ModelConfig

__all__ = ["Model", "ModelConfig", "create", "decoder", "encoder", "encoder_decoder", "presets"]
