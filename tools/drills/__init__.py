"""Drills: a fault by a seed, a story, questions that cannot be fooled, and a grade for the diagnosis.

    folders.py      what `drills/<id>/` holds, typed; refuses what it does not know
    scenario.py     what a seed makes of a drill: hosts, values, decoys; and how its scripts run on hosts
    questions.py    whether the service is well, whatever the drill
    guards.py       what may not change; facts.py gathers it on the hosts
    grading.py      points of a diagnosis; pure functions
    records.py      the drill that runs, and results that may be signed
    game.py         start, hint, diagnose, verify, solution, reset
    prove.py        every drill both ways
    desk.py         answers `drill` on the edge host; drill.py is what is typed there

No module here knows a drill: the next one is a folder.
"""
