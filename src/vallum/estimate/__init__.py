"""What a copy of a model would cost under a policy: queries, accounts, days and money."""
