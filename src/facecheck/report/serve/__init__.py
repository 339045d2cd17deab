"""`facecheck serve`: a page on this machine to scan folders and review what the scan says."""
