"""How open dead letters of an account are counted, by the task that holds them and by the tools that list them."""

from typing import Final

LETTERS_MAX: Final = 100  # of one account that are kept one by one: a producer gone wrong must not make the state grow for ever
ALL_OTHERS: Final = -1  # in the place of a partition and an offset: those beyond, of which only a number is kept
