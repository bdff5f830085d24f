"""Named sizes, one row each; a file a family, and this list is what registers them."""

from zoo.models.presets import decoders, encoder_decoders, encoders
from zoo.models.presets.base import PRESETS, Preset, list_models, preset_settings

__all__ = ["PRESETS", "Preset", "decoders", "encoder_decoders", "encoders", "list_models", "preset_settings"]
