"""The watch for model extraction: who, among all accounts, together asks what only a copy needs.

    features/      one input -> one vector of fixed length (text, vector, image, table)
    sketch         an account's vectors -> a few sums, under 1 KiB, which add up over windows and replicas
    crowd          all sketches of a route, bounded
    reservoir      inputs of a few accounts, a few of each, for calibration
    reference      what calibration fixed of inputs: where they lie, and the secret map to features (chance)
    sweep          cohorts tested against established accounts, members attributed
    wave           accounts that came together, and share nothing that brought them
    alarms         which cohorts stand out, though nobody in them can be named
    ladder         what becomes of whom: persistence, grades, the way back
    leak_meter     what a cluster could have learnt by now (student) from what its answers say (said)
    own_history    an account against itself: a stolen credential
    watch          all of it, for one route

Pure arithmetic on arrays: no clock, no store, no loop.  Times are Unix seconds and arguments.
"""
