"""The demo: the main job of the site, on generated data, through the doors that everybody uses.

1. `generate` makes the datasets and knows, without asking the engine, which rows each report is about.
2. `story` holds the steps. People and programs are played by HTTP requests to the running site (`client`), the work is
   done by its worker, and the downstream user (`downstream`) has the command `expunge` and what the site publishes.
   `links` has a worker check the links of a small dataset, which lead to servers of the demo itself (`street`).
3. Each step looks at how far things are before it acts, so a killed run is continued by the next one; `journal` keeps
   what only the demo knows. A figure that is not the one that was planted fails the step.
4. `report` prints the outcome as the database has it; a run that finds the job finished prints only that.
"""
