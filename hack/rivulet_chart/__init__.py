"""What the chart ships is made from crds/, and crds/ only grows."""
