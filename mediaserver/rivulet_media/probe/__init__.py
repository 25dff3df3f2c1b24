"""`rivulet-media play`: a viewer that decodes a stream played by WHEP and says what it saw."""
