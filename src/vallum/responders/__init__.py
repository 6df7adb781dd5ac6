"""What the gateway itself answers, in an upstream's place."""
