"""Models that somebody has derived from pytorch-forecasting's."""

from pytorch_forecasting import TemporalFusionTransformer


class Doubled(TemporalFusionTransformer):
    def forward(self, x):
        return super().forward({**x, "encoder_cont": x["encoder_cont"] * 2})


class Gained(TemporalFusionTransformer):
    def __init__(self, gain, **settings):
        super().__init__(**settings)
        self.gain = gain

    def forward(self, x):
        return super().forward({**x, "encoder_cont": x["encoder_cont"] * self.gain})


class Alien:
    pass
