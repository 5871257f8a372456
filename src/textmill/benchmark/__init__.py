"""`textmill bench`: the same work on every machine, beside what each could do at best."""
