"""The results of a scan: rows, the files they are written to, and what is made of them."""
