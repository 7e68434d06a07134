"""The configurations: one runnable document per experiment."""
