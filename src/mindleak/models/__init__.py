"""Networks: Cells only."""
