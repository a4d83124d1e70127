"""The API over HTTP. It reads and writes the store alone; the core does what is asked there.

FastAPI and uvicorn (``headway[web]``) are imported in this room only.
"""
