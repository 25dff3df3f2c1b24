"""`rivulet-media publish`: a camera that sends a file or a timer by WHIP."""
