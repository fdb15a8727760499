"""What encoders are worth: people's scores of pairs, analogies, and what searchers marked as relevant."""
