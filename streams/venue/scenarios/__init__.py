"""What happens at the simulated exchange: walked examples, calm and falling markets, and the day of 10 October 2025."""
