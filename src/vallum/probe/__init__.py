"""The probe: asks an inference endpoint, ours or not, the questions that an attacker would, and says what held.

Rule 1: three verdicts.  What could not be tested is untested, with its reason, and never counts as held.
Rule 2: bounded.  A run ends by itself: requests, bytes and time have budgets, and no answer is kept but its evidence.
Rule 3: a probe is a function in the file of its family; what it asks, how grave it is and how to mend it stand in
        `catalogue.toml`, and what it sends stands in `corpora/`.
"""
