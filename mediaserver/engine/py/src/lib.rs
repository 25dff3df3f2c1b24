//! Python binding of the engine.
