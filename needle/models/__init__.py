"""Models, and the functions that train and evaluate them."""
