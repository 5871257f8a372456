"""What each stage of a run does: the recipe's sections in, a folder and a summary out.

Each stage is one file, whose function takes the workplace and returns its summary for the manifest; `hash` in it stands
for what was written.
"""
