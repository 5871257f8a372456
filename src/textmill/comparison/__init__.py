"""Recipes side by side: each trained as often as there are seeds, at equal cost, and told apart from chance."""
