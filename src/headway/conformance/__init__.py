"""Drives any worker through the contract of the bus, and says in plain words what is wrong.

findings   what is said of a worker: check by check, and what to change
log        all that was seen, in order, to be waited for
desk       sends the steps, hears the answers, grants the claims
program    the worker's process, if we start it, and the tap on its connection
visit      one worker being looked at: what the trials use
trials     the scenes that a worker is put into
rules      what holds in every scene, judged from the log
examine    all of it, from a step to a report
"""
