"""Training of many replicas in one program; knows no task, model or measure."""
