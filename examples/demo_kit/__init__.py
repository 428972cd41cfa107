"""The parts of `demo.py`: the models, the collection of outcomes, the table that it prints."""
