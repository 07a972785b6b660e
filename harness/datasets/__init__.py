"""Published benchmark tables: readers of a data folder that holds `nb201/`, `ofa/` or `hat/`."""
