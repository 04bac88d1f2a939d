"""How weights move: the schedule of the learning rate, AdamW and Muon."""
