"""Where the faces of a picture are: the detector, the search with it, and the boxes it gives."""
