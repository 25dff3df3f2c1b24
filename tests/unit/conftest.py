"""A property has no deadline: how long one example takes is the machine's business."""

from hypothesis import settings

settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
