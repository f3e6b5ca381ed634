"""The app for MONAI Label, run by ``bus-monai label`` in an environment of its own."""
