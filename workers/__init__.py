"""Undertow: hidden states of forecasting models, from windows in Kafka to features in Feast."""
