"""How a field is computed fast and in bounded memory."""
