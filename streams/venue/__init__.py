"""A simulated exchange that closes the loop: it moves positions and wallets, answers instructions, and keeps a book of its own to compare with."""
