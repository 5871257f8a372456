"""A card of anything textmill makes: a model, a run, a recipe; and of what it doesn't know, what that is."""
