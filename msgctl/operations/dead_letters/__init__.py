"""Dead letters: list, group, edit, replay, and drop them."""
