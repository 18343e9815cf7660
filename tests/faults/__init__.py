"""A seeded crash harness: ``python -m tests.faults --rounds 60`` kills a real experiment at every kind of instant.

A round draws an experiment and some faults from its seed (`plan`), starts the experiment as a user would (`experiment`,
`trainables`), kills its driver or workers (`points` from within, `launch` from outside), starts it again, and asks an
oracle (`oracle`) whether the record that is left is the one that must be. See docs/reliability.md.
"""
