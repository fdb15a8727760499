"""What scores are worth: functions over encoders and indexes."""
