"""Results for a terminal. Each `render_` function turns one job's result into one renderable."""
