"""Auto-deleveraging: waves that match what the insurance fund does not take with those who profit from it. Pure."""
