"""The graph of SeLoC-ML's authors, as they published it: what is wrong is told and mended, nothing else is lost."""
