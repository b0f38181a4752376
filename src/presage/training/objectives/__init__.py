"""What a stage asks of a model: each objective turns a batch into named terms. Weights of terms live in the stage."""
