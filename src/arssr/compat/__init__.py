"""The command lines of the reference program (`train.py`, `test.py`), flag for flag."""
