"""Three small language models, trained by `train.py` on problems that `problems.py` makes."""
