import gc

# Python's default is a garbage collection after every 700 new objects: 360 times while a process
# starts, a tenth of the CPU of a start.
gc.set_threshold(10_000)
