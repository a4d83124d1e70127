"""Tries carried out by Celery workers: each is one Celery task, on the queue that its job names.

The task message holds no more than which attempt it is, and where the run listens. All else goes
straight between the two, over the app's own broker, in queues that go with them:

    Celery worker  to  the run's queue, headway.run.ID              run  to  the process's own queue
    claims         I was given this attempt; I am HOLDER            where that holder stands, whole:
    beat           I am still there (every second)                  granted, and with what; heard up
    NUMBER, frame  what the try does, in order: as a child          to NUMBER; written up to NUMBER;
                   process tells it (adapters.frames)               asked to stop; over
    left           it is over here, nothing of it is left

An attempt is granted to the holder that claims it first, and to no other: a task message that is
delivered twice, for whatever reason, is carried out once. Frames are numbered, and sent again
until they were heard; what the run says is always all of it, and only ever grows. So any message
of this may be lost, late or repeated.

Who has an attempt holds it on a lease: a beat that is answered renews it. A worker whose lease has
ended ends the try; a run takes the worker for lost a little later than that. So a try is never
begun again while an earlier one of the same job goes on, whatever is cut off from what.

    definitions  how a job travels
    messages     what is said, as JSON
    line         the connections to the broker, of either side
    kept_line    those of a Celery worker's process, which its tries have together
    grants       what an attempt is granted with
  the run's side:
    executor     what the runner asks for
    attempts     one attempt, as the run knows it
    tasks        the app's queues, and the tasks in them
    run_line     what is said to Celery workers, and heard of them
    reports      what a try says while it goes on
    endings      how attempts end
    absent       attempts of which nothing is heard
    looking      who consumes a queue, and knows the task
  the Celery worker's side:
    serving      an attempt that is carried out
    lost         a process that was ended
"""
