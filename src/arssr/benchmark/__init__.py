"""How fast and how small the engine is, next to the machine and to other ways."""
